"""Fast copies of a model: what a tool differentiates instead of the reference, where that pays; they only propose."""
