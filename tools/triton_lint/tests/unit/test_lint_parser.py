"""The reader of config.pbtxt: places, faults, agreement with protobuf's own parser."""

from typing import Any

import pytest
from google.protobuf import text_format
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from triton_lint import rule_ids
from triton_lint.config_tree import Message
from triton_lint.parser import Parsed, parse
from triton_lint.schema import Kind, MessageType, model_config_type
from triton_lint.tokens import Places, comments, tokenize
from tritonclient.grpc import model_config_pb2

INTEGERS = {3: (64, 1), 4: (64, 0), 5: (32, 1), 13: (32, 0)}
"""Bits, and whether it is signed, by protobuf's number of the type."""


def fault(text: str) -> tuple[str, int, int] | None:
    problem = parse(text).problem
    return problem and (problem.rule, *Places(text).line_and_column(problem.at.start))


def test_values_and_places() -> None:
    text = '# a model\nname: "m"  # its name\ninput [ { dims: [ 1, -1 ] },\n { dims: 3 } ]\n'
    root = parse(text).root
    assert root.text("name") == "m"
    first, second = root.children("input")
    assert first.numbers("dims") == [1, -1]
    assert second.numbers("dims") == [3]
    places = Places(text)
    assert places.line_and_column(first.nodes("dims")[1].value_at.start) == (3, 22)
    assert places.line_and_column(second.nodes("dims")[0].at.start) == (4, 4)
    assert [comment.text for comment in comments(text)] == ["# a model", "# its name"]


def test_comments_are_not_taken_from_strings() -> None:
    assert not list(comments('name: "a # b"'))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("max_batchsize: 8", (rule_ids.UNKNOWN_FIELD, 1, 1)),
        ("foo { a: 1 }\nbar: 1", (rule_ids.UNKNOWN_FIELD, 1, 1)),
        ("input { data_type: FP32 }", (rule_ids.ENUMERATOR, 1, 20)),
        ('max_batch_size: "8"', (rule_ids.WRONG_TYPE, 1, 17)),
        ("name: model", (rule_ids.WRONG_TYPE, 1, 7)),
        ('name: "a" name: "b"', (rule_ids.DUPLICATE, 1, 11)),
        ("max_batch_size: 0 max_batch_size: 8", None),
        ("dynamic_batching { } sequence_batching { }", (rule_ids.ONEOF, 1, 22)),
        ("max_batch_size: ${size}", (rule_ids.PLACEHOLDER, 1, 17)),
        ("dynamic_batching {", (rule_ids.UNCLOSED, 1, 19)),
        ("\x00", (rule_ids.JUNK, 1, 1)),
        ("model_metrics { }", None),
        ("max_batch_size : - 1", None),  # so Triton's C++ parser (2.51); Python's refuses it
        ("input [ { dims: [ 1, ] } ]", (rule_ids.WRONG_TYPE, 1, 22)),
        ("max_batch_size 8", (rule_ids.SYNTAX, 1, 16)),
        ('name: "a\nb"', (rule_ids.SYNTAX, 1, 7)),
        ("max_batch_size:4input{}", (rule_ids.SYNTAX, 1, 17)),
        ("max_batch_size: 0x4name: ''", (rule_ids.SYNTAX, 1, 20)),
        ("name:'m'max_batch_size:4 ", None),
        ("dynamic_batching{max_queue_delay_microseconds:-0}", (rule_ids.WRONG_TYPE, 1, 47)),
        ("dynamic_batching{priority_queue_policy{key:-0}}", (rule_ids.WRONG_TYPE, 1, 44)),
        ("max_batch_size:-0", None),
        ('name: "a\0b"', (rule_ids.SYNTAX, 1, 7)),
        ("# a \0 comment", (rule_ids.JUNK, 1, 5)),
        ('name: "a\\000b"', None),
    ],
)
def test_faults(text: str, found: tuple[str, int, int] | None) -> None:
    assert fault(text) == found


def test_reading_ends_at_the_first_fault() -> None:
    parsed = parse("max_batch_size: x\ninput { dims: y data_type: TYPE_Z }\nplatfrom: 1\n}")
    assert parsed.problem is not None
    assert (parsed.problem.rule, list(parsed.root.fields())) == (rule_ids.WRONG_TYPE, [])


def test_the_schema_is_that_of_tritonclient() -> None:
    seen: set[str] = set()

    def compare(ours: MessageType, theirs: Any) -> None:
        assert list(ours.fields) == [each.name for each in theirs.fields]
        for each in theirs.fields:
            field = ours.fields[each.name]
            assert field.repeated == each.is_repeated
            assert field.has_presence == each.has_presence
            assert field.oneof == (each.containing_oneof.name if each.containing_oneof else "")
            assert (field.message is None) == (each.message_type is None)
            if field.kind is Kind.INTEGER:
                bits, is_signed = INTEGERS[each.type]
                assert field.bounds == (-is_signed << bits - 1, (1 << bits - is_signed) - 1)
            if field.enum is not None:
                assert dict(field.enum.numbers) == {v.name: v.number for v in each.enum_type.values}
            if field.message and each.message_type.full_name not in seen:
                seen.add(each.message_type.full_name)
                compare(field.message, each.message_type)

    compare(model_config_type(), model_config_pb2.ModelConfig.DESCRIPTOR)
    assert len(seen) > 50


def test_suggestions() -> None:
    problem = parse("instance_grup { }").problem
    assert problem and "did you mean 'instance_group'?" in problem.text


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TYPE_BYTES", "STRING"),
        ("BYTES", "STRING"),
        ("FLOAT", "FP32"),
        ("TYPE_FLOAT", "FP32"),
        ("float32", "FP32"),
        ("TYPE_DOUBLE", "FP64"),
        ("LONG", "INT64"),
        ("TYPE_HALF", "FP16"),
        ("TYPE_BFLOAT16", "BF16"),
        ("INT", "INT32"),
        ("TYPE_SHORT", "INT16"),
        ("TYPE_BOOLEAN", "BOOL"),
        ("FP32", "FP32"),
        ("type_fp32", "FP32"),
        ("TYPE_STRNG", "STRING"),
        ("TYPE_CHAR", None),
        ("TYPE_X", None),
        ("TYPE_COMPLEX64", None),
    ],
)
def test_hints_for_types(name: str, meant: str | None) -> None:
    problem = parse(f"input {{ data_type: {name} }}").problem
    assert problem
    assert ("did you mean" in problem.text) == (meant is not None), problem.text
    assert meant is None or f"did you mean 'TYPE_{meant}'?" in problem.text


def test_a_large_file_is_read() -> None:
    text = 'parameters { key: "k" value { string_value: "v" } }\n' * 4000
    parsed = parse(text)
    assert not parsed.problem
    assert len(parsed.root.nodes("parameters")) == 4000


# -- against protobuf's own parser -------------------------------------------------------------


def protobuf(text: str) -> Any:
    """What protobuf reads; None where it refuses."""
    try:
        return text_format.Parse(text, model_config_pb2.ModelConfig())
    except (text_format.ParseError, UnicodeDecodeError):
        return None


def as_text(message: Message) -> str:
    """Written back, to be compared with what protobuf read."""
    parts = []
    for name in message.fields():
        for node in message.nodes(name):
            if isinstance(node.value, Message):
                parts.append(f"{name} {{ {as_text(node.value)} }}")
            else:
                parts.append(f"{name}: {_literal(node.value, message.type.fields[name].kind)}")
    return " ".join(parts)


def _literal(value: Any, kind: Kind) -> str:
    if kind is Kind.STRING:
        return '"' + text_format.text_encoding.CEscape(value.encode(), as_utf8=False) + '"'
    if kind is Kind.BOOL:
        return "true" if value else "false"
    return str(value)


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def scalars(kind: Kind, field: Any) -> st.SearchStrategy[str]:
    if kind is Kind.STRING:
        return _TEXTS.map(lambda text: _literal(text, Kind.STRING))
    if kind is Kind.BOOL:
        return st.sampled_from(["true", "false", "1", "0", "True", "f"])
    if kind is Kind.ENUM:
        return st.sampled_from(sorted(field.enum.numbers))
    if kind is Kind.INTEGER:
        return st.integers(*field.bounds).map(str)
    return st.floats(allow_nan=False, width=32).map(str)


@st.composite
def messages(draw: st.DrawFn, message_type: MessageType, depth: int = 0) -> str:
    """Text of a message; now and then a field is set in a way that is not allowed."""
    if not message_type.fields:
        return ""
    names = draw(st.lists(st.sampled_from(sorted(message_type.fields)), max_size=4))
    parts = []
    for name in names:
        field = message_type.fields[name]
        colon = draw(st.sampled_from([": ", ":", " : "]))
        if field.kind is Kind.MESSAGE:
            assert field.message is not None
            inside = draw(messages(field.message, depth + 1)) if depth < 3 else ""
            open_, close = draw(st.sampled_from(["{}", "<>", "{}"]))
            parts.append(f"{name}{draw(st.sampled_from([' ', colon]))}{open_} {inside} {close}")
        elif field.repeated and draw(st.booleans()):
            values = draw(st.lists(scalars(field.kind, field), max_size=3))
            parts.append(f"{name}{colon}[{', '.join(values)}]")
        else:
            parts.append(f"{name}{colon}{draw(scalars(field.kind, field))}")
    return draw(st.sampled_from([" ", "\n", ", ", "; ", " # c\n"])).join(parts)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(messages(model_config_type()))
def test_agrees_with_protobuf_on_configurations(text: str) -> None:
    theirs, ours = protobuf(text), parse(text)
    assert (theirs is None) == bool(ours.problem), ours.problem
    if theirs is not None:
        assert protobuf(as_text(ours.root)) == theirs


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(messages(model_config_type()), st.data())
def test_agrees_with_protobuf_on_broken_configurations(text: str, data: st.DataObject) -> None:
    """One token is removed, doubled or exchanged with another."""
    tokens = [text[token.start : token.end] for token in tokenize(text)][:-1]
    if not tokens:
        return
    index = data.draw(st.integers(0, len(tokens) - 1))
    other = data.draw(st.sampled_from([*tokens, "", "{", "}", "[", "]", ":", ",", "-", '"x"', "1"]))
    changed = [
        *tokens[:index],
        other,
        *data.draw(st.sampled_from([tokens[index:], tokens[index + 1 :]])),
    ]
    # Triton's C++ parser takes "- 1" (seen on 2.51), Python's does not.
    text = " ".join(changed).replace("- ", "-")
    assert (protobuf(text) is None) == bool(parse(text).problem), text


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=200)
    | st.text(st.sampled_from("{}[]<>:,;-#\"'\\ \nname1 dims$"), max_size=80).map(str.encode)
)
@example(b'name: "\\')
@example(b"[" * 200)
@example(b"input {" * 50)
@example(b"dims: [ -")
def test_never_fails(data: bytes) -> None:
    parsed = parse(data.decode("utf-8", "surrogateescape"))
    assert isinstance(parsed, Parsed)
    if problem := parsed.problem:
        assert 0 <= problem.at.start < problem.at.end <= len(data) + 1
