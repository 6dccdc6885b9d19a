"""Keeps a tritonserver alive: watches its models, brings them back, stops it cleanly."""
