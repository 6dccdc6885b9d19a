"""Asks tritonserver: the only code of the gateway that knows its protocol."""
