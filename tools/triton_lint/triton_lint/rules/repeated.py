"""What several groups of rules look for."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)


def repeated(items: Iterable[Item], key: Callable[[Item], Key]) -> Iterator[tuple[Item, Key]]:
    """The items whose key an earlier item has, with the key."""
    seen: set[Key] = set()
    for item in items:
        if (found := key(item)) in seen:
            yield item, found
        seen.add(found)
