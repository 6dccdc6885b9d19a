"""Model repositories that are right or wrong in one place each, for the linter and the server.

Three sources: the examples of the rules, faults written by hand, and every configuration of
`bases.py` with each of its fields changed, doubled or removed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from triton_lint.config_tree import Message, Node
from triton_lint.engine import RULES
from triton_lint.parser import parse
from triton_lint.schema import FieldType, Kind

from tools.triton_lint.tests.bases import BASES
from tools.triton_lint.tests.by_hand import BY_HAND
from tools.triton_lint.tests.examples import examples, origin


@dataclass(frozen=True)
class Case:
    """A repository: path to content; None is an empty folder."""

    label: str
    files: Mapping[str, str | None]

    def write(self, folder: Path) -> None:
        """Put it on disk."""
        for name, content in self.files.items():
            path = folder / name
            if content is None:
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode("utf-8", "surrogateescape"))


def all_cases() -> Iterator[Case]:
    """The corpus."""
    yield from page_examples()
    yield from (Case(f"by hand: {label}", files) for label, files in BY_HAND.items())
    for name, files in BASES.items():
        yield Case(f"base: {name}", files)
        yield from mutations(name, files)


def page_examples() -> Iterator[Case]:
    """What the rules' pages show; those that the server at hand can't show are left out."""
    for rule in RULES:
        if "Seen on Triton" not in origin(rule):
            continue
        for label, example in zip(("bad", "good"), examples(rule.id), strict=True):
            if example.options.auto_complete:  # the server of the harness completes
                yield Case(f"{rule.id} {label}", example.files)


def mutations(name: str, files: Mapping[str, str | None]) -> Iterator[Case]:
    """Every configuration of a repository with one field changed."""
    seen = set()
    for path, text in files.items():
        if text is None or not path.endswith(".pbtxt"):
            continue
        root = parse(text).root
        for node, field_type in _nodes(root):
            for what, changed in _changes(text, node, field_type):
                if changed not in seen and changed != text:
                    seen.add(changed)
                    line = text.count("\n", 0, node.at.start) + 1
                    label = f"{name}: {path}:{line} {node.field} {what}"
                    yield Case(label, {**files, path: changed})


def _nodes(message: Message) -> Iterator[tuple[Node, FieldType]]:
    for name in message.fields():
        for node in message.nodes(name):
            yield node, message.type.fields[name]
            if isinstance(node.value, Message):
                yield from _nodes(node.value)


def _changes(text: str, node: Node, field_type: FieldType) -> Iterator[tuple[str, str]]:
    """What was done, and the new text."""
    before, inside, after = text[: node.at.start], text[slice(*node.at)], text[node.at.end :]
    if inside.count("[") == inside.count("]"):
        yield "removed", before + after
        yield "twice", f"{before}{inside} {inside}{after}"
        yield "misspelt", f"{before}{inside[0]}{inside}{after}"
    for value in _values(node, field_type):
        yield (
            f"= {value}",
            text[: node.value_at.start] + value + text[node.value_at.end :],
        )


def _values(node: Node, field_type: FieldType) -> Iterator[str]:
    if field_type.kind is Kind.INTEGER:
        yield from ("0", "-1", "-2", "1", "3", "99", "99999999999", '"1"', "x")
    elif field_type.kind is Kind.FLOAT:
        yield from ("0", "-0.5", "1.5")
    elif field_type.kind is Kind.STRING:
        yield from ('""', '"other"', "bare", '"${x}"')
    elif field_type.kind is Kind.BOOL:
        yield "false" if node.value else "true"
    elif field_type.kind is Kind.MESSAGE:
        yield "{ }"
    elif field_type.enum is not None:
        yield from (name for name in list(field_type.enum.numbers)[:5] if name != node.value)
        yield "NO_SUCH_VALUE"
