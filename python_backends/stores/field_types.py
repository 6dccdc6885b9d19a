"""The metadata fields of a collection. A field has the type of its first value."""

from collections.abc import Sequence

from python_backends.errors import RequestError
from python_backends.stores.filters import BUILT_IN, FieldType, type_of
from python_backends.stores.store import Collection, Document

MAX_FIELDS = 64


def with_fields(collection: Collection, documents: Sequence[Document]) -> dict[str, FieldType]:
    """The fields once the documents are in; raises `RequestError` where types don't fit."""
    fields = dict(collection.fields)
    for document in documents:
        for name, value in document.metadata.items():
            found = type_of(value)
            if (known := fields.setdefault(name, found)) != found:
                raise RequestError(
                    f"documents: '{name}' of '{document.id[:80]}' is {found}; in collection "
                    f"'{collection.name}' it is {known}"
                )
            if name in BUILT_IN or name.startswith("$") or not name:
                raise RequestError(f"documents: a metadata field can't be named '{name[:40]}'")
    if len(fields) > MAX_FIELDS:
        raise RequestError(
            f"documents: {len(fields)} metadata fields in collection '{collection.name}'; at most "
            f"{MAX_FIELDS} are possible"
        )
    return fields
