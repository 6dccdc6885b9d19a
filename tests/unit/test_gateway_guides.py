"""What answers must match, as each API writes it."""

import json
from dataclasses import replace

import orjson
import pytest

from gateway.call import Finished, Generate, Usage
from gateway.errors import BadRequest
from gateway.guards.redacted import RedactionPolicy, redacted
from gateway.guide import Guide
from gateway.protocols import anthropic_messages, cohere_chat, openai_chat, openai_completions
from gateway.protocols.openai_responses_request import ResponsesRequest
from gateway.protocols.openai_responses_request import generate as responses
from gateway.protocols.reading import read
from gateway.texts import texts_of
from tests.fakes.handlers import Answering, answer, call

SCHEMA = {"type": "object", "properties": {"port": {"type": "integer"}}, "required": ["port"]}
TEXT = orjson.dumps(SCHEMA).decode()
ANY = '{"type":"object"}'
BODY = {"model": "llm", "messages": [{"role": "user", "content": "Which port?"}]}


def chat(**fields) -> Guide | None:
    return openai_chat.generate(openai_chat.parse(BODY | fields)).guide


def response(format_) -> Guide | None:
    body = {"model": "llm", "input": "Which port?", "text": {"format": format_}}
    return responses(read(ResponsesRequest, body)).guide


def message(**fields) -> Guide | None:
    body = BODY | {"max_tokens": 8} | fields
    return anthropic_messages.generate(read(anthropic_messages.MessagesRequest, body)).guide


def cohere(**fields) -> Guide | None:
    return cohere_chat.generate(read(cohere_chat.ChatRequest, BODY | fields)).guide


def completion(**fields) -> Guide | None:
    body = {"model": "llm", "prompt": "a"} | fields
    return openai_completions.generate(openai_completions.parse(body))[0].guide


def named(**fields) -> dict[str, object]:
    """The format of chat, as `parse` of the openai client writes it."""
    return {"type": "json_schema", "json_schema": {"name": "Port", "strict": True} | fields}


def test_a_schema_is_one_guide_in_every_api():
    flat = {"type": "json_schema", "name": "Port", "schema": SCHEMA, "strict": True}
    guides = {
        "response_format.json_schema.schema": chat(response_format=named(schema=SCHEMA)),
        "text.format.schema": response(flat),
        "output_config.format.schema": message(
            output_config={"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "low"}
        ),
        "output_format.schema": message(
            output_format={"type": "json_schema", "schema": SCHEMA},
        ),
        "response_format.json_schema": cohere(
            response_format={"type": "json_object", "json_schema": SCHEMA}
        ),
        "response_format.schema": cohere(response_format={"type": "json_object", "schema": SCHEMA}),
        "structured_outputs.json": chat(structured_outputs={"json": SCHEMA, "regex": None}),
        "guided_json": completion(guided_json=SCHEMA),
    }
    assert guides == {field: Guide("json_schema", TEXT, field) for field in guides}


@pytest.mark.parametrize(
    ("guide", "field"),
    [
        (chat(response_format={"type": "json_object"}), "response_format"),
        (response({"type": "json_object"}), "text.format"),
        (cohere(response_format={"type": "json_object"}), "response_format"),
        (chat(structured_outputs={"json_object": True}), "structured_outputs.json_object"),
        (chat(response_format=named()), "response_format.json_schema.schema"),
    ],
)
def test_without_a_schema_it_is_any_object(guide, field):
    assert guide == Guide("json_schema", ANY, field)


def test_a_schema_beside_json_object_is_followed():
    """Fireworks', Together's and llama.cpp's clients put it there."""
    guide = chat(response_format={"type": "json_object", "schema": SCHEMA})
    assert guide == Guide("json_schema", TEXT, "response_format")


def test_vllm_s_regex_choice_and_grammar():
    assert chat(guided_regex="a+") == Guide("regex", "a+", "guided_regex")
    assert completion(structured_outputs={"grammar": 'root ::= "a"'}) == Guide(
        "ebnf_grammar", 'root ::= "a"', "structured_outputs.grammar"
    )
    assert chat(guided_choice=["yes", 'a "b"\n']) == Guide(
        "ebnf_grammar", r'root ::= "yes" | "a \"b\"\n"', "guided_choice"
    )


def test_text_is_no_guide():
    assert chat() is chat(response_format={"type": "text"}) is None
    assert response({"type": "text"}) is response(None) is None
    assert cohere(response_format={"type": "text"}) is message(output_config={}) is None
    assert chat(structured_outputs={"json": None, "json_object": False}) is None


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (lambda: chat(response_format={"type": "xml"}), "response_format.type"),
        (lambda: chat(response_format={"type": "json_schema"}), "response_format.json_schema"),
        (lambda: chat(response_format=named(schema=1)), "response_format.json_schema.schema"),
        (lambda: response({"type": "json_schema", "schema": []}), "text.format.schema"),
        (lambda: response("json"), "text.format"),
        (lambda: message(output_format={"type": "json_schema"}), "output_format.schema"),
        (lambda: message(output_format={"type": "text"}), "output_format.type"),
        (lambda: cohere(response_format={"type": "json"}), "response_format.type"),
        (lambda: chat(guided_json="{}", guided_regex="a"), "guided_regex"),
        (
            lambda: chat(guided_regex="a", response_format={"type": "json_object"}),
            "guided_regex",
        ),
        (lambda: chat(structured_outputs={"choice": []}), "structured_outputs.choice"),
        (lambda: chat(structured_outputs={"tags": 1}), "structured_outputs.tags"),
    ],
)
def test_what_is_none_is_refused_at_its_field(ask, field):
    with pytest.raises(BadRequest) as caught:
        ask()
    assert caught.value.field == field
    assert field in str(caught.value)


def test_counting_tokens_needs_no_guide():
    body = BODY | {"output_format": {"type": "json_schema", "schema": SCHEMA}}
    counted = anthropic_messages.counting(read(anthropic_messages.CountRequest, body))
    assert counted.guide is None


GUIDED = Generate("llm", prompt="Whom?")


def test_a_schema_is_redacted_and_stays_json() -> None:
    schema = '{"properties":{"to":{"enum":["a@b.example","nobody"]}}}'
    asked = replace(GUIDED, guide=Guide("json_schema", schema, "response_format"))
    assert ("response_format", schema) in texts_of(asked)
    inner = Answering(Finished("stop", Usage(9, 5)))
    answer(redacted(inner, RedactionPolicy(["*"]), lambda *_: None), call(asked))
    (sent,) = inner.calls
    assert isinstance(sent.request, Generate)
    assert sent.request.guide is not None
    assert json.loads(sent.request.guide.text) == {
        "properties": {"to": {"enum": ["[EMAIL]", "nobody"]}}
    }


@pytest.mark.parametrize("kind", ["regex", "ebnf_grammar"])
def test_what_cannot_be_redacted_is_refused_at_its_field(kind: str) -> None:
    handler = redacted(
        Answering(Finished("stop", Usage(9, 5))), RedactionPolicy(["*"]), lambda *_: None
    )
    for text, is_refused in (("a@b.example", True), ("[a-c]+", False)):
        asked = replace(GUIDED, guide=Guide(kind, text, "guided_regex"))
        if is_refused:
            with pytest.raises(BadRequest, match=f"guided_regex: .*a {kind} can't be"):
                answer(handler, call(asked))
        else:
            answer(handler, call(asked))
