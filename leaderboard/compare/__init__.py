"""Comparing: models on the same images, recipes over seeds, and the gate."""
