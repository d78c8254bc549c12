"""Runs of others and of now: read, checked, and made records of counted facts."""
