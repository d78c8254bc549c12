"""Preparations of a fast copy: plugins of the group harness.speedups."""
