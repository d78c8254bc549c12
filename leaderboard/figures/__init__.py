"""Pictures: curves, and galleries of what broke."""
