"""Faults of the text itself, found while it is read."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

from triton_lint import rule_ids
from triton_lint.config_tree import Message, Node
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.repository import Repository
from triton_lint.rule import ERROR, WARNING, Rule, check

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)


def repeated(items: Iterable[Item], key: Callable[[Item], Key]) -> Iterator[tuple[Item, Key]]:
    """The items whose key an earlier item has, with the key."""
    seen: set[Key] = set()
    for item in items:
        if (found := key(item)) in seen:
            yield item, found
        seen.add(found)


@check("TRN014", WARNING)
def _unknown_enumerators(model: Model, _: Repository) -> Iterator[Problem]:
    kinds = [group.node("kind") for group in model.config.children("instance_group")]
    for node in model.nodes:
        if (
            isinstance(node.value, str)
            and node.value.lstrip("-").isdecimal()
            and _is_enum(node, model)
        ):
            text = f"'{node.field}' has no value with the number {node.value}"
            yield Problem(node.value_at, text, severity=ERROR if node in kinds else None)


def _is_enum(node: Node, model: Model) -> bool:
    text = model.text[node.value_at.start : node.value_at.end]
    return not text.startswith(('"', "'"))


@check("TRN015", WARNING)
def _repeated_keys(model: Model, _: Repository) -> Iterator[Problem]:
    messages = [node.value for node in model.nodes if isinstance(node.value, Message)]
    for message in (model.config, *messages):
        for name in message.fields():
            if message.type.fields[name].is_map:
                yield from _repeated(message, name)


def _repeated(message: Message, name: str) -> Iterator[Problem]:
    for entry, key in repeated(message.written_entries(name), lambda each: each.key):
        yield Problem(entry.node.at, f"'{name}' has the key '{key}' already; the last one counts")


_WARNINGS = (rule_ids.TOO_LARGE, rule_ids.ENCODING)
READING_RULES = tuple(
    Rule(each, WARNING if each in _WARNINGS else ERROR)
    for name, each in vars(rule_ids).items()
    if name.isupper()
)
