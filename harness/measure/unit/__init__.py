"""One attack on one chunk of samples at one epsilon: the tool call, the observer, the outcome."""
