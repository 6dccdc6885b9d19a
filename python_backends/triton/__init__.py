"""The only code that uses Triton's Python backend and OpenTelemetry.

adapter      `TritonPythonModel` from a stage
stream       `Stream` over Triton's response sender
responses    tensors and errors between Triton and the contracts
bls          calls to other models of the server
neighbours   keeps Triton from giving up a process that is only paused
metering     `Meter` over Triton's custom metrics
tracing      OpenTelemetry spans
telemetry    the metrics and spans that every request has
"""
