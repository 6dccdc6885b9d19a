"""What several groups of rules look for."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

from triton_lint.config_tree import Message
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.reading import is_file, is_pointer, size_bytes
from triton_lint.shapes import BYTES_OF_TYPE, element_count

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)


def repeated(items: Iterable[Item], key: Callable[[Item], Key]) -> Iterator[tuple[Item, Key]]:
    """The items whose key an earlier item has, with the key."""
    seen: set[Key] = set()
    for item in items:
        if (found := key(item)) in seen:
            yield item, found
        seen.add(found)


def data_file_problems(
    model: Model, message: Message, field: str, folder: str
) -> Iterator[Problem]:
    """Whether the file in `folder` that `field` names is absent, or too small for the dims."""
    name, kind = message.text(field), message.text("data_type")
    path = model.place.folder.path / folder / name
    if not is_file(path):
        yield Problem(model.at(message, field), f"there is no file {folder}/{name}")
        return
    size = size_bytes(path)
    needed = max(element_count(message.numbers("dims")), 0) * BYTES_OF_TYPE.get(kind, 4)
    if kind != "TYPE_STRING" and size < needed and not is_pointer(path):
        yield Problem(model.at(message, field), f"{folder}/{name} has {size} bytes of {needed}")


def queue_policies(batching: Message) -> list[Message]:
    """The default queue policy of dynamic batching and those of single priorities."""
    values = [entry.value for entry in batching.entries("priority_queue_policy")]
    return [
        batching.child_or_empty("default_queue_policy"),
        *(value for value in values if isinstance(value, Message)),
    ]
