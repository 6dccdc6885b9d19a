"""A linter for Triton model repositories."""
