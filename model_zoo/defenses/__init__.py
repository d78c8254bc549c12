"""Defenses: training recipes, each a small dataclass with a loss."""
