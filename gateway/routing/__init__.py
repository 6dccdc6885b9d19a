"""Which model answers a call to `auto`, and which one follows when a model fails."""
