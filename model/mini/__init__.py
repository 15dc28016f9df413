"""`mini`, the built-in model."""
