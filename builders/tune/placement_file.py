"""Changes written into placements/*.toml: comments, order and everything else stay."""

import difflib
from dataclasses import dataclass
from pathlib import Path

import tomlkit
from tomlkit.items import Table

from builders import spec
from builders.spec import Sku, sku_names
from builders.tune.change import Change, Changes

PARAMETERS = "parameters"


@dataclass(frozen=True)
class Edit:
    """A file's text before (empty: there was none) and after."""

    path: Path
    before: str
    after: str

    def diff(self) -> str:
        """Unified, as `git apply` takes it."""
        name = self.path.relative_to(spec.ROOT)
        lines = difflib.unified_diff(
            self.before.splitlines(keepends=True),
            self.after.splitlines(keepends=True),
            f"a/{name}" if self.before else "/dev/null",
            f"b/{name}",
        )
        return "".join(lines)

    def write(self) -> None:
        """The new text."""
        self.path.write_text(self.after)


def edits(sku: Sku, changes: Changes) -> list[Edit]:
    """The files that hold the SKU's placement, changed; none without changes.

    A placement that several SKUs share gets a copy for this one: the others were not measured.
    """
    if not changes:
        return []
    sku_file = spec.BUILDERS / "skus" / f"{sku.name}.toml"
    head = tomlkit.parse(sku_file.read_text())
    placement = str(head["placement"])
    text = _placement(placement).read_text()
    if not _is_shared(placement):
        return [Edit(_placement(placement), text, edited(text, changes))]
    before = sku_file.read_text()
    head["placement"] = sku.name
    copy = Edit(_placement(sku.name), "", edited(text, changes))
    return [copy, Edit(sku_file, before, tomlkit.dumps(head))]


def edited(text: str, changes: Changes) -> str:
    """The text of a placement file with the changes."""
    document = tomlkit.parse(text)
    models = document["models"]
    assert isinstance(models, Table)
    for change in changes:
        _set(models, change)
    return tomlkit.dumps(document)


def placement_text(sku: Sku) -> str:
    """Of the file that holds the SKU's placement now."""
    head = tomlkit.parse((spec.BUILDERS / "skus" / f"{sku.name}.toml").read_text())
    return _placement(str(head["placement"])).read_text()


def _set(models: Table, change: Change) -> None:
    table = _child(models, change.model)
    if change.is_parameter:
        table = _child(table, PARAMETERS)
    table[change.key] = change.value


def _child(table: Table, name: str) -> Table:
    if name not in table:
        table[name] = tomlkit.table()
    found = table[name]
    assert isinstance(found, Table)
    return found


def _placement(name: str) -> Path:
    return spec.BUILDERS / "placements" / f"{name}.toml"


def _is_shared(placement: str) -> bool:
    files = (spec.BUILDERS / "skus" / f"{name}.toml" for name in sku_names())
    users = [file for file in files if tomlkit.parse(file.read_text())["placement"] == placement]
    return len(users) > 1
