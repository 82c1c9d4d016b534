"""Training of styles."""
