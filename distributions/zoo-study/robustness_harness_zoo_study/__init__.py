"""Weights of the checkpoints standard, fgsm, fast_fgsm and a2s of robustness-harness."""
