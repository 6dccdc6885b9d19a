"""A model as the rules see it: its folder, its configuration, what Triton fills in."""

import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from triton_lint import rule_ids
from triton_lint.config_tree import Message, Node, Span
from triton_lint.findings import Problem
from triton_lint.folders import MAX_VERSION, ModelFolder, read_file
from triton_lint.model_names import ModelNames, complete
from triton_lint.parser import parse
from triton_lint.tokens import Places, comments

MAX_CONFIG_BYTES = 16 * 1024 * 1024

_START = Span(0, 0)
_IGNORE = "triton-lint: ignore"
_PLAIN_CLASS = re.compile(
    rb"^class TritonPythonModel\s*(?:\(\s*(?:object)?\s*\)\s*)?:", re.MULTILINE
)


@dataclass(frozen=True)
class Options:
    """The server that will load the repository, by the names of its own options."""

    model_config_name: str = ""
    auto_complete: bool = True
    """False stands for --disable-auto-complete-config."""
    check_files: bool = True
    """Whether model files and version folders are looked for at all."""


@dataclass(frozen=True)
class Model:
    """One model with its parsed configuration."""

    place: ModelFolder
    options: Options
    text: str
    config: Message
    reading_problems: tuple[Problem, ...] = ()
    is_readable: bool = True
    """Whether its text has no fault: only then do other rules apply."""

    @property
    def name(self) -> str:
        """The folder's name, by which Triton loads it."""
        return self.place.name

    @cached_property
    def places(self) -> Places:
        return Places(self.text)

    @cached_property
    def names(self) -> ModelNames:
        """Platform, backend and file name as Triton completes them."""
        return complete(self.place, self.config)

    @property
    def backend(self) -> str:
        return self.names.backend

    @cached_property
    def is_ensemble(self) -> bool:
        return "ensemble_scheduling" in self.config

    @property
    def max_batch_size(self) -> int:
        return int(self.config.number("max_batch_size"))

    @property
    def instances(self) -> int:
        """The instances on one device; groups without a count have one."""
        groups = self.config.children("instance_group")
        return sum(max(1, int(group.number("count"))) for group in groups) or 1

    @cached_property
    def ignored(self) -> frozenset[str]:
        """Rules that a comment such as `# triton-lint: ignore TRN652` leaves out of this model."""
        if _IGNORE not in self.text:
            return frozenset()
        found = [each.text.partition(_IGNORE)[2] for each in comments(self.text)]
        return frozenset(rule for text in found for rule in text.replace(",", " ").split())

    @cached_property
    def nodes(self) -> list[Node]:
        return self.config.everything()

    @property
    def checks_files(self) -> bool:
        """Whether its files are where it will be loaded from: an agent may bring it elsewhere."""
        return self.options.check_files and "model_repository_agents" not in self.config

    @cached_property
    def versions(self) -> tuple[int, ...]:
        """The versions that Triton would load, newest first."""
        present = sorted(set(self.place.version_folders.values()), reverse=True)
        policy = self.config.child("version_policy")
        if policy and (specific := policy.child("specific")):
            return tuple(number for number in present if number in specific.numbers("versions"))
        if policy and (latest := policy.child("latest")):
            return tuple(present[: int(latest.number("num_versions"))])
        return tuple(present) if policy else tuple(present[:1])

    @cached_property
    def loaded_folders(self) -> tuple[str, ...]:
        """The folders of the versions that would be loaded, with names Triton finds again."""
        names = self.place.version_folders
        return tuple(str(each) for each in self.versions if each >= 0 and str(each) in names)

    @cached_property
    def _code_may_complete(self) -> bool:
        """Whether a Python model may have `auto_complete_config`: written, inherited, or unread."""
        root = self.place.folder.path
        for folder in self.loaded_folders[:1]:
            try:
                code = read_file(root / folder / self.names.filename, MAX_CONFIG_BYTES)
            except OSError:
                break
            return b"auto_complete_config" in code or not _PLAIN_CLASS.search(code)
        return True

    @cached_property
    def may_complete(self) -> bool:
        """Whether the backend may add tensors, or what they lack, when it loads the model."""
        if not self.options.auto_complete or self.is_ensemble:
            return False
        has_both = "input" in self.config and "output" in self.config
        if self.backend == "python":
            return self._code_may_complete
        if self.backend in ("onnxruntime", "openvino"):
            return not has_both
        if self.backend == "pytorch":  # only its Python runtime may
            return self.config.text("runtime") == "model.py"
        return self.backend not in ("tensorrtllm", "identity", "repeat", "square")

    @cached_property
    def tensors_are_final(self) -> bool:
        """Whether the configuration names every tensor of the model."""
        has_both = "input" in self.config and "output" in self.config
        return not self.may_complete or (has_both and self.backend != "python")

    def at(self, message: Message | None, name: str = "") -> Span:
        """Where a field of `message` stands; the message where it has none."""
        if message is None:
            return _START
        node = message.node(name) if name else None
        return node.at if node else message.at if message is not self.config else _START

    def tensors(self, side: str) -> Iterator[Message]:
        """`input` or `output`: of equal names the first, as Triton keeps them."""
        seen: set[str] = set()
        for tensor in self.config.children(side):
            if (name := tensor.text("name")) not in seen:
                seen.add(name)
                yield tensor

    @cached_property
    def has_crashing_version(self) -> bool:
        """Whether a version's number exceeds 64 bits, which ends the server."""
        return any(abs(number) > MAX_VERSION for number in self.place.version_folders.values())


def read_model(place: ModelFolder, options: Options) -> Model:
    """Read a model's configuration; its faults are in the result."""
    try:
        data = _read_config(place)
    except OSError as error:
        fault = f"can't be read: {error.strerror or error}"
        return _unread(place, options, Problem(_START, fault, rule_ids.UNREADABLE))
    if len(data) > MAX_CONFIG_BYTES:
        fault = f"more than the {MAX_CONFIG_BYTES // 2**20} MiB that are read"
        return _unread(place, options, Problem(_START, fault, rule_ids.TOO_LARGE))
    text = data.decode("utf-8", "surrogateescape")
    parsed = parse(text)
    found = (parsed.problem,) if parsed.problem else ()
    problems = (*found, *_encoding_problems(text))
    return Model(place, options, text, parsed.root, problems, is_readable=not found)


def _read_config(place: ModelFolder) -> bytes:
    """What the file holds; nothing where there is none. Raises `OSError`."""
    if place.folder.fault:
        raise OSError(0, f"{place.folder.fault} (the model's folder)")
    try:
        return read_file(place.folder.path / place.config_path, MAX_CONFIG_BYTES)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):  # then Triton sees none either
            return b""
        raise


def _unread(place: ModelFolder, options: Options, problem: Problem) -> Model:
    root = parse("").root
    return Model(place, options, "", root, (problem,), is_readable=False)


def _encoding_problems(text: str) -> Iterator[Problem]:
    """Triton takes bytes that are no UTF-8 in strings, its APIs then fail to show them."""
    for offset, character in enumerate(text) if not text.isascii() else ():
        if "\udc80" <= character <= "\udcff":
            yield Problem(Span(offset, offset + 1), "a byte that is no UTF-8", rule_ids.ENCODING)
            return
