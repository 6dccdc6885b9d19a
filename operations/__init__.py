"""Keeps the server alive: serve, preflight, supervisor, monitoring, deployment."""
