"""Forgeries of a run, by what they touch; each edits a copy and returns what verify must name besides the check."""
