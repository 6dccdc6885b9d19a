"""A request's flame graph out of its OpenTelemetry trace: where its time went, and what failed."""
