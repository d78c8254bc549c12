"""Adaptations: changes of what an attack differentiates, on copies of the model that only propose."""
