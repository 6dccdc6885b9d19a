"""YAML: a line for each value, with the whole path to it, and the comments above.

A file that is no YAML, such as a Helm template, is read as it is. OpenAPI's descriptions of an API
are read as such (openapi.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import yaml

from triton_rag.ingestion.file_text import FileText, in_sections
from triton_rag.ingestion.readers import openapi
from triton_rag.ingestion.readers.plain import decoded

MAX_VALUES = 50_000
"""Most values of one file: aliases of aliases can make billions."""
_LONGEST_LIST = 300
"""Most characters of a list of plain values that is written in one line."""
_NAMES = ("name", "id", "key", "alert", "job", "title")
"""Keys whose value names an item of a list."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Item = tuple[str, yaml.Node]


class TooManyValues(Exception):
    """There are more than `MAX_VALUES`, or parts that contain themselves."""


def read(data: bytes) -> FileText:
    text = decoded(data)
    try:
        documents = [node for node in yaml.compose_all(text, Loader=_LOADER) if node]
        if len(documents) == 1 and openapi.is_api(api := _values(documents[0], text)):
            return openapi.described(api)
        return lines_of(documents, text.split("\n"))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, TooManyValues):
        return FileText(text)


def lines_of(documents: list[yaml.Node], source: list[str], most: int = MAX_VALUES) -> FileText:
    """The values of documents. `source` are the lines of their file, if they are from one.

    Raises `TooManyValues`.
    """
    tree = _Tree(source, most)
    for document in documents:
        tree.begin(_kind(document))
        tree.add("", document)
    return tree.file_text()


def _values(node: yaml.Node, text: str) -> object:
    """A document as Python values, if it may be a description of an API."""
    keys = {key.value for key, _ in node.value} if isinstance(node, yaml.MappingNode) else set()
    return yaml.load(text, Loader=_LOADER) if keys & {"openapi", "swagger"} else None


def _kind(document: yaml.Node) -> str:
    """What a resource of Kubernetes is: "Deployment ledger in staging"; else empty."""
    kind, about = _child(document, "kind"), _child(document, "metadata")
    name, namespace = _child(about, "name"), _child(about, "namespace")
    parts = [str(part.value) for part in (kind, name) if isinstance(part, yaml.ScalarNode)]
    if len(parts) < 2:
        return ""
    return " ".join([*parts, *(["in", str(namespace.value)] if namespace else [])])


def _child(node: yaml.Node | None, name: str) -> yaml.Node | None:
    found = _items(node) if isinstance(node, yaml.MappingNode) else ()
    return next((value for key, value in found if key == name), None)


def _items(node: yaml.MappingNode) -> list[Item]:
    return [(str(key.value), value) for key, value in node.value]


@dataclass
class _Tree:
    source: list[str]
    most: int
    lines: list[str] = field(default_factory=list)
    headings: list[tuple[int, int, str]] = field(default_factory=list)
    length: int = 0
    count: int = 0
    seen: int = 0
    """Number of lines of the source whose comments are written."""

    def begin(self, heading: str) -> None:
        if heading:
            self._blank()
            self.headings.append((self.length, 1, heading))
            self._line(heading)
            self._blank()

    def add(self, path: str, node: yaml.Node) -> None:
        if isinstance(node, yaml.MappingNode) and node.value:
            for key, value in node.value:
                self._comments(key)
                self.add(f"{path}.{key.value}" if path else str(key.value), value)
        elif isinstance(node, yaml.SequenceNode) and not self._is_line(node):
            for index, item in enumerate(node.value):
                self._comments(item)
                self._add_item(path, index, item)
        else:
            self._value(path, node)

    def _add_item(self, path: str, index: int, item: yaml.Node) -> None:
        """Add an item, called by its name, which then needs no line, or by its number.

        A blank line is put before an item with several values, so that passages rather begin there.
        """
        if len(_pairs(item)) > 2:
            self._blank()
        named = [pair for name in _NAMES for pair in _pairs(item) if pair[0].value == name]
        if named and isinstance(named[0][1], yaml.ScalarNode) and len(item.value) > 1:
            rest = [pair for pair in item.value if pair is not named[0]]
            item = yaml.MappingNode(item.tag, rest, item.start_mark, item.end_mark)
            self.add(f"{path}[{named[0][1].value}]", item)
        else:
            self.add(f"{path}[{index}]", item)

    def _is_line(self, node: yaml.SequenceNode) -> bool:
        """Whether a list is written in one line: it is short, of plain values, without comments."""
        are_plain = all(isinstance(item, yaml.ScalarNode) for item in node.value)
        if not are_plain or len(_joined(node)) > _LONGEST_LIST or "\n" in _joined(node):
            return False
        lines = self.source[node.start_mark.line : node.end_mark.line] if node.start_mark else ()
        return not any("#" in line for line in lines)

    def _value(self, path: str, node: yaml.Node) -> None:
        self.count += 1
        if self.count > self.most:
            raise TooManyValues
        plain = node.value if isinstance(node, yaml.ScalarNode) else _joined(node)
        text = str(plain).strip()
        if "\n" in text:
            self._blank()
            for line in [f"{path}:", *text.split("\n")]:
                self._line(line)
            self._blank()
        else:
            self._line(f"{path}: {text}{self._behind(node)}" if path else text)
        if node.end_mark:
            self.seen = max(self.seen, node.end_mark.line)

    def _behind(self, node: yaml.Node) -> str:
        """The comment after a value on its line."""
        mark = node.end_mark
        if mark is None or mark.line >= len(self.source):
            return ""
        rest = self.source[mark.line][mark.column :].strip(" ,}]")
        return f"  {rest}" if rest.startswith("#") else ""

    def _comments(self, node: yaml.Node) -> None:
        """The comments above a key or an item, with a blank line before them."""
        mark = node.start_mark
        for line in self.source[self.seen : mark.line] if mark else ():
            if line.strip().startswith("#"):
                if not (self.lines and self.lines[-1].startswith("#")):
                    self._blank()
                self._line(line.strip())
            elif not line.strip():
                self._blank()
        self.seen = max(self.seen, mark.line) if mark else self.seen

    def _line(self, line: str) -> None:
        self.lines.append(line)
        self.length += len(line) + 1

    def _blank(self) -> None:
        if self.lines and self.lines[-1]:
            self._line("")

    def file_text(self) -> FileText:
        return in_sections("\n".join(self.lines).rstrip(), self.headings)


def _pairs(node: yaml.Node) -> list[tuple[yaml.Node, yaml.Node]]:
    return node.value if isinstance(node, yaml.MappingNode) else []


def _joined(node: yaml.Node) -> str:
    return ", ".join(str(item.value) for item in node.value)
