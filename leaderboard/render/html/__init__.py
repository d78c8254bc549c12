"""The page: one HTML file with tables, charts and a section for each model."""
