"""A recipe from start to card: train, validate, claim."""
