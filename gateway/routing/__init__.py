"""Chooses the model for a call to `auto`, and the next one when a model fails."""
