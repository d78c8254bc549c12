"""One plugin of each kind, for the harness's own tests."""
