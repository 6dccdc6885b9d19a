"""The published state of a LanceDB collection: one small file beside its table.

Searches read the version of the table that this file names. A change may take several commits of
the table (delete, add, index); the new file, renamed into place, makes them visible at once. A
killed writer leaves a version that no file names, which the next writer undoes.
"""

import json
import os
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from python_backends.stores.filters import FieldType
from python_backends.stores.store import Change, Collection, down

FILE = "collection.json"


@dataclass(frozen=True)
class Column:
    """The column of the table that holds a metadata field."""

    name: str
    type: FieldType


@dataclass(frozen=True)
class Published:
    """`table` names the table's folder, `version` what is visible of it.

    `pending` rows were added or removed since the indexes were brought up to date, the first at
    `pending_since_s`. The vector index has `partitions`, 0 where there is none; since its training
    it got `deltas` more parts, for `untrained` rows.
    """

    name: str
    embedder: str
    dimension: int
    table: str
    version: int
    columns: dict[str, Column] = field(default_factory=dict)
    documents: int = 0
    passages: int = 0
    created_s: float = 0.0
    updated_s: float = 0.0
    size_bytes: int = 0
    pending: int = 0
    pending_since_s: float = 0.0
    partitions: int = 0
    deltas: int = 0
    untrained: int = 0

    @property
    def collection(self) -> Collection:
        fields = {name: column.type for name, column in self.columns.items()}
        return Collection(
            self.name,
            self.embedder,
            self.dimension,
            fields,
            self.documents,
            self.passages,
            self.created_s,
            self.updated_s,
            self.size_bytes,
        )

    def changed(self, gone: Change, came: Change) -> "Published":
        now_s = time.time()
        return replace(
            self,
            documents=self.documents + came.documents - gone.documents,
            passages=self.passages + came.passages - gone.passages,
            pending=self.pending + came.passages + gone.passages,
            pending_since_s=self.pending_since_s if self.pending else now_s,
            updated_s=now_s,
        )


def write_published(folder: Path, published: Published) -> None:
    """Make a state visible, in one step."""
    new = folder / f".{FILE}.new"
    with new.open("w", encoding="utf-8") as file:
        json.dump(asdict(published), file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / FILE)


def read_published(folder: Path) -> Published | None:
    """The state of the collection in `folder`; None where there is none. Raises `Unavailable`."""
    path = folder / FILE
    try:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        columns = {name: Column(**column) for name, column in fields.pop("columns").items()}
        fields.pop("is_packed", None)  # written before 2026-11-29
        fields["name"] = folder.name  # only the folder has it, so that renaming is one step
        return Published(columns=columns, **fields)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise down(f"collection: {path} can't be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise down(
            f"collection: '{folder.name}' is damaged: {path.name} in its folder is not as it "
            "was written; restore the folder, or delete it and ingest again"
        ) from error
