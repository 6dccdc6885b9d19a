"""Faults, and what looks like one, that no mutation of one field makes."""

import json
from pathlib import Path

BY_HAND: dict[str, dict[str, str | None]] = json.loads(
    Path(__file__).with_suffix(".json").read_text()
)
"""Label to files; None is an empty folder, broken UTF-8 is written as lone surrogates."""
