"""Adversarial contrastive pre-training: frameworks, network, loss, views."""
