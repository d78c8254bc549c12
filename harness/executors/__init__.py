"""Executors: who computes the lanes of a run."""
