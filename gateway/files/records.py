"""The records of the register. Each belongs to one tenant; times are Unix seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Value = str | bool | int | float
"""A value of a file's attribute, which filters can compare."""

Status = Literal["in_progress", "completed", "failed", "cancelled"]


@dataclass(frozen=True)
class File:
    """An uploaded file."""

    id: str
    tenant: str
    name: str
    purpose: str
    size_bytes: int
    created_s: int


@dataclass(frozen=True)
class VectorStore:
    """A collection of a tenant; `id` is also the collection's name on the models' server.

    `is_shared`: the settings name it; every tenant may read it, and none may change it.
    """

    id: str
    tenant: str
    name: str
    metadata: Mapping[str, str]
    created_s: int
    is_shared: bool = False


@dataclass(frozen=True)
class StoreFile:
    """A file in a vector store; `error` says why it is `failed`."""

    store_id: str
    file_id: str
    created_s: int
    batch_id: str = ""
    attributes: Mapping[str, Value] = field(default_factory=dict)
    status: Status = "in_progress"
    error: str = ""
    name: str = ""
    size_bytes: int = 0


@dataclass(frozen=True)
class Page:
    """A part of a list: at most `limit` records beyond the one with the id `after` or `before`."""

    limit: int = 20
    is_ascending: bool = False
    after: str = ""
    before: str = ""
