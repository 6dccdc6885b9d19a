"""Guides: what a request's tensors ask for, in form and size."""

import json

import numpy as np
import pytest

from ensembles.guides import GUIDE_TEXT as TEXT
from ensembles.guides import GUIDE_TYPE as TYPE
from python_backends.engines.llm_engine import Guide
from python_backends.errors import RequestError
from python_backends.generation.guide import MAX_CHARACTERS, MAX_DEPTH, read_guide
from python_backends.tensors import Tensors


def tensors(kind: str | None, text: str | None = None) -> Tensors:
    given = {TYPE: kind, TEXT: text}
    return Tensors(
        {n: np.array([v.encode()], dtype=object) for n, v in given.items() if v is not None}
    )


@pytest.mark.parametrize(
    ("kind", "text"),
    [("json_schema", '{"type": "object"}'), ("regex", r"\d+"), ("ebnf_grammar", 'root ::= "a"')],
)
def test_a_guide_is_taken_as_it_is_written(kind, text):
    assert read_guide(tensors(kind, text)) == Guide(kind, text)


def test_any_json_needs_no_text():
    assert read_guide(tensors("json")) == read_guide(tensors("json", "")) == Guide("json")


@pytest.mark.parametrize("given", [(None, None), ("", ""), (None, ""), ("", None)])
def test_nothing_is_no_guide(given):
    """NVIDIA's own examples send empty strings."""
    assert read_guide(tensors(*given)) is None


DEEP = "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("xml", "<a/>", f"{TYPE}: 'xml' given; json, json_schema, regex, ebnf_grammar"),
        (None, "{}", f"{TYPE}: '' given"),
        ("json_schema", None, f"{TEXT}: empty; a json_schema is needed"),
        ("json_schema", "{", f"{TEXT}: not JSON"),
        ("json_schema", "[]", f"{TEXT}: no JSON object"),
        ("regex", "a" * (MAX_CHARACTERS + 1), f"{TEXT}: 65537 characters; at most 65536"),
        ("regex", "a\0b", f"{TEXT}: a NUL at 1"),
        ("json_schema", DEEP, f"{TEXT}: more than 64 brackets within one another"),
        ("ebnf_grammar", "(" * 65, f"{TEXT}: more than 64 brackets"),
    ],
)
def test_what_is_none_is_refused_by_name(kind, text, said):
    with pytest.raises(RequestError) as caught:
        read_guide(tensors(kind, text))
    assert str(caught.value).startswith(said)


LOOP = {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#"}]}}


@pytest.mark.parametrize(
    ("schema", "is_taken"),
    [
        ({"$ref": "#"}, False),
        ({"allOf": [{"$ref": "#"}]}, False),
        ({"$ref": "#/$defs/a", "$defs": LOOP}, False),
        ({"oneOf": [{"$ref": "#"}, {"type": "null"}]}, True),
        ({"$ref": "#/$defs/c", "$defs": LOOP | {"c": {"enum": [1]}}}, True),
        ({"properties": {"a": {"$ref": "#"}}}, True),
        ({"$ref": "#/$defs/none"}, True),  # the library says that it is missing
        ({"anyOf": []}, True),
    ],
)
def test_a_schema_that_is_only_itself_is_refused(schema, is_taken):
    """The library guides nothing then: the answer would be any text."""
    given = tensors("json_schema", json.dumps(schema))
    if is_taken:
        assert read_guide(given)
        return
    with pytest.raises(RequestError, match="refers to itself only"):
        read_guide(given)


def test_brackets_that_hide_behind_closing_ones_in_texts_do_no_harm():
    """Not counted, and far beyond what Python's parser follows."""
    text = '{"t": "}", "not": ' * 3000 + "{}" + "}" * 3000
    with pytest.raises(RequestError, match="not JSON"):
        read_guide(tensors("json_schema", text))


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"type": "array", "uniqueItems": True}, "#/uniqueItems"),
        ({"properties": {"a": {"anyOf": [{"not": {}}]}}}, "#/properties/a/anyOf/0/not"),
        ({"$defs": {"a": {"allOf": [{}, {}]}}}, "#/$defs/a/allOf"),
        ({"allOf": 5}, "#/allOf"),
        ({"items": {"$ref": "http://127.0.0.1/x"}}, "#/items/$ref"),
        ({"pattern": "^a", "maxLength": 3}, "#/maxLength"),
    ],
)
def test_what_the_library_passes_over_is_refused_by_name(schema, place):
    with pytest.raises(RequestError) as caught:
        read_guide(tensors("json_schema", json.dumps(schema)))
    assert str(caught.value) == f"{TEXT}: {place} can't be enforced; leave it out"


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"not": {"type": "string"}, "if": {"enum": ["not", {"not": 1}]}}},
        {"type": "array", "uniqueItems": False, "additionalProperties": False},
        {"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"const": {"contains": 1}}}},
    ],
)
def test_names_and_values_are_no_keywords(schema):
    assert read_guide(tensors("json_schema", json.dumps(schema)))


def test_errors_do_not_say_what_the_guide_says():
    with pytest.raises(RequestError) as caught:
        read_guide(tensors("json_schema", '{"secret'))
    assert "secret" not in str(caught.value)
