"""From a name, a file or a card to a model."""
