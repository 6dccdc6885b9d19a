"""A small cross-encoder, for places without a model hub."""
