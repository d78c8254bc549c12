"""Fixtures of this room."""

from clusters import cluster

__all__ = ["cluster"]
