"""JSON: settings, a line for each value with its path, and descriptions of an API (OpenAPI)."""

from __future__ import annotations

import json

import yaml

from triton_rag.ingestion.file_text import FileText, Unreadable
from triton_rag.ingestion.readers import openapi
from triton_rag.ingestion.readers.plain import decoded
from triton_rag.ingestion.readers.yaml_tree import TooManyValues, lines_of
from triton_rag.ingestion.refused import refusal

MAX_VALUES = 1_000
"""Most values of a file: people write fewer settings, and nobody asks about lock files and exports,
which have more."""


def read(data: bytes) -> FileText:
    """The text of JSON; raises `Unreadable` for more than `MAX_VALUES` values, and for lists."""
    try:
        found = json.loads(decoded(data))
    except (ValueError, RecursionError) as error:
        raise Unreadable("not JSON, or a damaged one") from error
    if openapi.is_api(found):
        return openapi.described(found)
    if not isinstance(found, dict):
        raise Unreadable(refusal("a.json"))
    node = yaml.SafeDumper("", sort_keys=False).represent_data(found)
    try:
        return lines_of([node], [], MAX_VALUES)
    except TooManyValues as error:
        raise Unreadable(refusal("a.json")) from error
