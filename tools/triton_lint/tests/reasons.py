"""Disagreements that are known, and why they are there."""

import re
from collections.abc import Iterable

LEFT_TO_TRITON = re.compile(
    r"must specify 'name'|different size for dims and reshape|cannot have empty reshape|"
    r"non-negative value|'platform' and 'backend' pair|preferred size must be|"
    r"specifies one or more GPUs|invalid or unsupported gpu id|no GPUs are available|"
    r"ensemble scheduling (must|cannot) be set|"
    r"SyntaxError:|no attribute 'TritonPythonModel'|unable to find backend library"
)
"""Faults that the linter has no rule for, because Triton's words name them (0079)."""

REASONS = {
    r"^tensorrt: .* (data_type|dims|output) (removed|= TYPE_INVALID)": (
        "TensorRT's backend completes this from the plan; its stand-in here can't"
    ),
    r"(metrics new|max_inflight|platform libtorch)$": "newer than the server at hand",
    r"no config onnx$": "ONNX Runtime's backend completes this; its stand-in here can't",
    r"onnx file missing$": "ONNX Runtime's backend needs the file; its stand-in here does not",
    r"version (1abc|-1)$": "the backend then finds no file; its stand-in here needs none",
    r"^python: .* (value|string_value) (removed|= )": "Triton itself names the parameter",
    r"py (import error|bad init|execute returns none warm)$": "what code does is not run",
}


def is_left_to_triton(words: Iterable[str]) -> bool:
    """Whether the server's refusals are of faults that the linter leaves to it."""
    return any(map(LEFT_TO_TRITON.search, words))


def reason(label: str) -> str:
    """Why the linter and the server at hand may disagree on a case; "" where it is a fault."""
    return next((why for pattern, why in REASONS.items() if re.search(pattern, label)), "")
