"""What lies on disk, and its sums: facts, witnesses, run.json, the store, metrics, the summary."""

from harness.evidence.witnesses import decode

__all__ = ["decode"]
