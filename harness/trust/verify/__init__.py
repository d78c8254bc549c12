"""What a run on disk proves, contradicts and merely claims; `harness.trust.verify.verify` puts the parts together."""
