"""Reads the OpenTelemetry trace of a request: where its time went, and what failed."""
