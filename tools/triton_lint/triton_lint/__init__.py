"""A linter for Triton model repositories: `python -m triton_rag lint PATH`."""
