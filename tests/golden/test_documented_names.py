"""What a user may write is in the documentation: the gateway's settings, and types of files."""

import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

import pytest
from triton_rag.ingestion.readers import DOCUMENTS, PICTURES

from builders.spec import ROOT
from gateway.settings import Settings

SCHEMA = Settings.model_json_schema()
EXAMPLE = (ROOT / "examples" / "gateway.toml").read_text()
WHOLE = re.sub(r'^#(?=[\w"\[])', "", EXAMPLE, flags=re.MULTILINE)
"""With what is off by default."""


def _settings(node: dict[str, Any], where: tuple[str, ...] = ()) -> Iterator[str]:
    """Dotted names of all settings; `*` stands for a name that the user chooses."""
    if reference := node.get("$ref"):
        node = SCHEMA["$defs"][reference.rpartition("/")[2]]
    inside = node.get("additionalProperties") or {}
    if "properties" in node:
        for name, value in node["properties"].items():
            yield from _settings(value, (*where, name))
    elif "$ref" in node.get("items", {}):
        yield from _settings(node["items"], where)
    elif "$ref" in inside:
        yield from _settings(inside, (*where, "*"))
    else:
        yield ".".join(where)


def _named() -> set[str]:
    found: set[str] = set()
    tables: list[str] = []
    for line in WHOLE.splitlines():
        if line.startswith("["):
            tables = re.findall(r"\[([\w.]+)\]", line)
        names = re.findall(r"(\w+) = ", line)
        found.update(tables, (f"{table}.{name}" for table in tables for name in names))
    return found


@pytest.mark.parametrize("setting", [*_settings(SCHEMA)])
def test_settings_of_the_gateway_are_documented(setting):
    assert any(fnmatch(name, setting) for name in _named())


def test_all_settings_of_the_example_can_be_set():
    Settings.model_validate(tomllib.loads(WHOLE))


def test_the_example_has_the_defaults():
    assert Settings.model_validate(tomllib.loads(EXAMPLE)) == Settings()


def test_types_of_files_that_are_read_are_documented():
    page = (ROOT / "docs" / "ingest.md").read_text()
    assert [suffix for suffix in (*DOCUMENTS, *PICTURES) if f"`{suffix}`" not in page] == []
