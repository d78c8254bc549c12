"""What a run on disk proves, contradicts and merely claims; `harness.verify` puts the parts together."""
