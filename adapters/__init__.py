"""Adapters to the attack tools: the only files that import torchattacks, ART and AutoAttack."""
