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
BLOCKS = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in sorted((ROOT / "docs").glob("gateway*.md"))
    for number, block in enumerate(re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL))
]


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
    """Those in TOML, comments too: `# beside = 4`."""
    found: set[str] = set()
    for block in BLOCKS:
        tables: list[str] = []
        for line in str(block.values[0]).splitlines():
            if line.startswith("["):
                tables = re.findall(r"\[([\w.]+)\]", line)
            names = re.findall(r"(\w+) = ", line)
            found.update(tables, (f"{table}.{name}" for table in tables for name in names))
    return found


@pytest.mark.parametrize("setting", [*_settings(SCHEMA)])
def test_settings_of_the_gateway_are_documented(setting):
    assert any(fnmatch(name, setting) for name in _named())


@pytest.mark.parametrize("block", BLOCKS)
def test_documented_settings_can_be_set(block):
    Settings.model_validate(tomllib.loads(block))


@pytest.mark.parametrize("table", ["listen", "triton", "bounds", "access.generating", "files"])
def test_documented_defaults_are_the_defaults(table):
    defaults: Any = Settings().model_dump(mode="json")
    block = next(str(b.values[0]) for b in BLOCKS if f"\n[{table}]" in f"\n{b.values[0]}")
    documented: Any = tomllib.loads(block)
    for step in table.split("."):
        defaults, documented = defaults[step], documented[step]
    documented.pop("folder", None)  # `make serve` sets it
    assert documented == {name: defaults[name] for name in documented}


def test_types_of_files_that_are_read_are_documented():
    page = (ROOT / "docs" / "ingest.md").read_text()
    assert [suffix for suffix in (*DOCUMENTS, *PICTURES) if f"`{suffix}`" not in page] == []
