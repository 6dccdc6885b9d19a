"""Disagreements that are known, and why they are there."""

import re

REASONS = {
    r"^tensorrt: .* (data_type|dims|output) (removed|= TYPE_INVALID)": (
        "TensorRT's backend completes this from the plan; its stand-in here can't"
    ),
    r"no config onnx$": "ONNX Runtime's backend completes this; its stand-in here can't",
    r"onnx file missing$": "ONNX Runtime's backend needs the file; its stand-in here does not",
    r"(backend = \"other\"|unknown backend)$": (
        "a name that resembles no known backend may be a backend of one's own: a warning"
    ),
    r"version (1abc|-1)$": "the backend then finds no file; its stand-in here needs none",
    r"^python: .* (value|string_value) (removed|= )": "Triton itself names the parameter",
    r"py (import error|bad init|execute returns none warm)$": "what code does is not run",
}


def reason(label: str) -> str:
    """Why the linter and the server at hand may disagree on a case; "" where it is a fault."""
    return next((why for pattern, why in REASONS.items() if re.search(pattern, label)), "")
