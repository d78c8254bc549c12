"""Data sets: the bundled rendered signs and readers for the public ones."""
