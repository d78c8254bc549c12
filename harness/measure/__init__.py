"""Measuring: lanes of units, the worker that computes them, and what it computes on."""
