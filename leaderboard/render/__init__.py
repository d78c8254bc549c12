"""Renderers: a table as markdown, LaTeX, CSV, JSON or a page."""
