"""Models, their recipes and the data they are trained on."""
