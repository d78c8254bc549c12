"""The study's stress tests beside its published tables."""
