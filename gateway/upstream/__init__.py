"""Requests to tritonserver: the only code of the gateway with its protocol."""
