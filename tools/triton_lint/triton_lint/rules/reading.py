"""Faults of the text itself, found while it is read."""

from collections.abc import Iterator

from triton_lint import reading
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.nodes import Message, Node
from triton_lint.rule import ERROR, WARNING, Example, Repository, Rule

_GOOD = Example('backend: "onnxruntime"\nmax_batch_size: 8\n')


def _unknown_enumerators(model: Model, _: Repository) -> Iterator[Problem]:
    for node in model.nodes:
        if (
            isinstance(node.value, str)
            and node.value.lstrip("-").isdecimal()
            and _is_enum(node, model)
        ):
            yield Problem(
                node.value_at, f"'{node.field}' has no value with the number {node.value}"
            )


def _is_enum(node: Node, model: Model) -> bool:
    text = model.text[node.value_at.start : node.value_at.end]
    return not text.startswith(('"', "'"))


def _repeated_keys(model: Model, _: Repository) -> Iterator[Problem]:
    messages = [node.value for node in model.nodes if isinstance(node.value, Message)]
    for message in (model.config, *messages):
        for name in message.fields():
            if message.type.fields[name].is_map:
                yield from _repeated(message, name)


def _repeated(message: Message, name: str) -> Iterator[Problem]:
    seen = set()
    for entry in message.written_entries(name):
        if entry.key in seen:
            yield Problem(
                entry.node.at, f"'{name}' has the key '{entry.key}' already; the last one counts"
            )
        seen.add(entry.key)


RULES = (
    Rule(
        reading.UNREADABLE,
        "the configuration can't be read",
        ERROR,
        "The file exists, but the operating system does not hand it out: permissions, a folder of "
        "that name, a loop of links.",
        Example(None, {"model/config.pbtxt/inside": "", "model/1/model.onnx": ""}),
        _GOOD,
    ),
    Rule(
        reading.SYNTAX,
        "the text is no protobuf text format",
        ERROR,
        "Triton reads the whole file or nothing. Reading goes on here at the next field, so that "
        "all faults are shown at once. Comments begin with `#`; a list has no comma after its last "
        "value; text stands in quotes and ends on its line.",
        Example('backend: "onnxruntime"\nmax_batch_size 8\n'),
        _GOOD,
    ),
    Rule(
        reading.UNKNOWN_FIELD,
        "the schema has no such field",
        ERROR,
        "One unknown name makes Triton refuse the file. The schema is that of tritonclient.",
        Example('backend: "onnxruntime"\nmax_batchsize: 8\n'),
        _GOOD,
    ),
    Rule(
        reading.ENUMERATOR,
        "the enum has no such value",
        ERROR,
        "Types are written `TYPE_FP32`, not `FP32` or `float32`; kinds `KIND_GPU`.",
        Example('backend: "onnxruntime"\ninstance_group { kind: KIND_CUDA }\n'),
        Example('backend: "onnxruntime"\ninstance_group { kind: KIND_CPU }\n'),
    ),
    Rule(
        reading.WRONG_TYPE,
        "the value is of the wrong type",
        ERROR,
        "Numbers and enumerators stand without quotes, strings with them.",
        Example('backend: "onnxruntime"\nmax_batch_size: "8"\n'),
        _GOOD,
    ),
    Rule(
        reading.DUPLICATE,
        "a field that takes one value is set twice",
        ERROR,
        "Often two merged configurations. A number or string whose first value is the default (0 "
        "or empty) may be set again: Triton can't tell.",
        Example('backend: "onnxruntime"\nmax_batch_size: 4\nmax_batch_size: 8\n'),
        _GOOD,
    ),
    Rule(
        reading.ONEOF,
        "two fields are set of which only one can be",
        ERROR,
        "A model has one scheduler (`dynamic_batching`, `sequence_batching` or "
        "`ensemble_scheduling`), one version policy, one kind of warm-up data.",
        Example(
            'backend: "onnxruntime"\nmax_batch_size: 8\ndynamic_batching { }\n'
            "sequence_batching { }\n"
        ),
        Example('backend: "onnxruntime"\nmax_batch_size: 8\nsequence_batching { }\n'),
    ),
    Rule(
        reading.PLACEHOLDER,
        "a template's `${…}` was not filled in",
        ERROR,
        "Templates such as TensorRT-LLM's `all_models` have to be filled with `fill_template.py`, "
        "which leaves alone what it is not given. A `${…}` inside quotes parses: see TRN606.",
        Example('backend: "onnxruntime"\nmax_batch_size: ${triton_max_batch_size}\n'),
        _GOOD,
    ),
    Rule(
        reading.UNCLOSED,
        "a bracket is not closed",
        ERROR,
        "The file ends inside a message.",
        Example('backend: "onnxruntime"\nmax_batch_size: 8\ndynamic_batching {\n'),
        Example('backend: "onnxruntime"\nmax_batch_size: 8\ndynamic_batching {\n}\n'),
    ),
    Rule(
        reading.JUNK,
        "a character that is no text",
        ERROR,
        "NUL bytes, control characters, a byte order mark or letters outside of quotes: the "
        "file is "
        "binary, in another encoding, or was pasted from a document.",
        Example('backend: "onnxruntime"\n\x00\n'),
        _GOOD,
    ),
    Rule(
        reading.NEWER_FIELD,
        "the field is newer than the server",
        ERROR,
        "A server refuses the whole file for a field it does not know. `--triton` says which "
        "server is meant; without it the newest known is.",
        Example('backend: "onnxruntime"\nmodel_metrics { }\n', triton="2.51"),
        Example('backend: "onnxruntime"\n', triton="2.51"),
    ),
    Rule(
        reading.TOO_LARGE,
        "the file is too large to be looked at",
        WARNING,
        "More than 16 MiB, which no hand-written configuration has. Its rules were not checked.",
        Example('backend: "onnxruntime"\n#' + "#" * 64 + "\n"),
        _GOOD,
        seen="not a matter of the server; the example is cut",
    ),
    Rule(
        reading.ENCODING,
        "a byte that is no UTF-8",
        WARNING,
        "Triton's parser takes any bytes in strings and comments. The model configuration API then "
        "fails, because its answers have to be UTF-8.",
        Example('backend: "onnxruntime"\n# gr\udcfc\udcdfe\n'),
        Example('backend: "onnxruntime"\n# grüße\n'),
    ),
    Rule(
        "TRN014",
        "an enum is set by a number that it does not have",
        WARNING,
        "The parser takes any number for an enumerator; what Triton does with it is not defined.",
        Example('backend: "onnxruntime"\noptimization { priority: 7 }\n'),
        Example('backend: "onnxruntime"\noptimization { priority: PRIORITY_MAX }\n'),
        _unknown_enumerators,
    ),
    Rule(
        "TRN015",
        "a map has a key twice",
        WARNING,
        "Of two entries with the same key the last one counts, silently: an ensemble step reads "
        "another tensor than the first line says, a parameter has another value.",
        Example(
            'backend: "onnxruntime"\nparameters { key: "a" value { string_value: "1" } }\n'
            'parameters { key: "a" value { string_value: "2" } }\n'
        ),
        Example('backend: "onnxruntime"\nparameters { key: "a" value { string_value: "2" } }\n'),
        _repeated_keys,
    ),
)
