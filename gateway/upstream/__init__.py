"""Requests to tritonserver: the only code of the gateway that uses Triton's protocol."""
