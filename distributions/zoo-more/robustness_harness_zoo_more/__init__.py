"""Weights of the checkpoints trades-8 and a2s-trades of robustness-harness."""
