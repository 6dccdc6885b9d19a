"""The only code that knows Triton's Python backend."""
