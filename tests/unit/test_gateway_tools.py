"""Function tools through each API: what the model is asked, and what comes back."""

import itertools
import json
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from gateway.access.demand import Bounds, demand
from gateway.app import new_app
from gateway.cache.events import pack, unpack
from gateway.call import (
    Call,
    Caller,
    CallPiece,
    Event,
    Finished,
    Generate,
    Message,
    Text,
    Usage,
)
from gateway.errors import BadRequest
from gateway.guards.redacted import RedactionPolicy, redacted
from gateway.settings import Settings
from gateway.texts import texts_of
from gateway.tool_use import Tool, ToolCall, ToolUse
from gateway.upstream.generate import _body
from tests.fakes.handlers import Answering, answer, call

Json = dict[str, Any]
SCHEMA = {"type": "object", "properties": {"server": {"type": "string"}}}
FUNCTION = {"name": "find_port", "description": "Finds it.", "parameters": SCHEMA}
TOOL = Tool("find_port", "Finds it.", json.dumps(SCHEMA, separators=(",", ":")))
USER = {"role": "user", "content": "Which port?"}
ARGUMENTS = '{"server": "vebra"}'
CALLS: list[Event] = [
    Text("Let me see.", 3),
    CallPiece(0, "find_port", '{"server": ', 4),
    CallPiece(0, "", '"vebra"}', 2),
    CallPiece(1, "find_port", "{}", 1),
    Finished("tool_calls", Usage(9, 10)),
]
SILENT: list[Event] = [*CALLS[1:3], CALLS[-1]]


@dataclass
class Model:
    """Answers every call with these events, and keeps the last one."""

    client: TestClient
    events: list[Event] = field(default_factory=list)
    asked: Generate | None = None

    async def handle(self, call: Call) -> AsyncGenerator[Event, None]:
        assert isinstance(call.request, Generate)
        self.asked = call.request
        for event in self.events:
            yield event

    def post(self, path: str, body: Json, status: int = 200) -> Any:
        found = self.client.post(path, json=body)
        assert found.status_code == status, found.text
        return found.json() if "stream" not in body else _sent(found.text)


def _sent(text: str) -> list[Json]:
    """The data of each event of a stream."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


@pytest.fixture(scope="module")
def shared() -> Iterator[Model]:
    app = new_app(Settings())
    with TestClient(app, "http://localhost") as client:
        made = Model(client)
        app.state.service = replace(app.state.service, handler=made.handle)
        yield made


@pytest.fixture
def model(shared: Model) -> Model:
    shared.events = CALLS
    return shared


# --- OpenAI's chat -------------------------------------------------------------------------

CHAT: Json = {
    "model": "llm",
    "messages": [USER],
    "tools": [{"type": "function", "function": FUNCTION | {"strict": True}}],
}
OTHER = {"type": "function", "function": {"name": "other"}}


def test_a_chat_with_functions_asks_for_them(model: Model) -> None:
    model.post("/v1/chat/completions", CHAT | {"parallel_tool_calls": False})
    assert model.asked is not None
    assert model.asked.tool_use == ToolUse((TOOL,), is_parallel=False)


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (None, ["find_port", "other"]),
        ("auto", ["find_port", "other"]),
        ("none", []),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [OTHER]}},
            ["other"],
        ),
    ],
)
def test_the_choice_of_a_chat_decides_which_may_be_called(
    model: Model, choice: Any, names: list[str]
) -> None:
    model.post(
        "/v1/chat/completions", CHAT | {"tools": [*CHAT["tools"], OTHER], "tool_choice": choice}
    )
    assert model.asked is not None
    assert [tool.name for tool in model.asked.tool_use.tools] == names


def test_a_chat_s_answer_has_text_and_calls(model: Model) -> None:
    (choice,) = model.post("/v1/chat/completions", CHAT)["choices"]
    message = choice["message"]
    assert (message["content"], choice["finish_reason"]) == ("Let me see.", "tool_calls")
    assert [each["function"]["arguments"] for each in message["tool_calls"]] == [ARGUMENTS, "{}"]
    first, second = (each["id"] for each in message["tool_calls"])
    assert first != second
    model.events = SILENT
    (choice,) = model.post("/v1/chat/completions", CHAT)["choices"]
    assert choice["message"]["content"] is None


@pytest.mark.parametrize("events", [CALLS, SILENT])
def test_a_chat_s_stream_adds_up_to_its_answer(model: Model, events: list[Event]) -> None:
    model.events = events
    (whole,) = model.post("/v1/chat/completions", CHAT)["choices"]
    chunks = model.post("/v1/chat/completions", CHAT | {"stream": True})
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert [delta["role"] for delta in deltas if "role" in delta] == ["assistant"]
    text = "".join(delta.get("content") or "" for delta in deltas)
    assert text == (whole["message"]["content"] or "")
    built: dict[int, Json] = {}
    for piece in itertools.chain(*(delta.get("tool_calls", ()) for delta in deltas)):
        known = built.setdefault(piece["index"], piece | {"function": {"arguments": ""}})
        known["function"]["name"] = known["function"].get("name", piece["function"].get("name"))
        known["function"]["arguments"] += piece["function"]["arguments"]
    assert [b["function"] for b in built.values()] == [
        c["function"] for c in whole["message"]["tool_calls"]
    ]
    assert all(each["id"].startswith("call_") for each in built.values())
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_calls_and_results_of_a_chat_go_back_to_the_model(model: Model) -> None:
    message = model.post("/v1/chat/completions", CHAT)["choices"][0]["message"]
    ids = [each["id"] for each in message["tool_calls"]]
    results = [{"role": "tool", "tool_call_id": i, "content": f"result of {i}"} for i in ids]
    model.post("/v1/chat/completions", CHAT | {"messages": [USER, message, *results]})
    assert model.asked is not None
    assert model.asked.messages == (
        Message("user", "Which port?"),
        Message(
            "assistant",
            "Let me see.",
            (ToolCall(ids[0], "find_port", ARGUMENTS), ToolCall(ids[1], "find_port", "{}")),
        ),
        *(Message("tool", f"result of {i}", tool_call_id=i) for i in ids),
    )


# --- around all APIs -----------------------------------------------------------------------

CALLED = Generate(
    "llm",
    (
        Message("user", "Write to a@b.example."),
        Message("assistant", "", (ToolCall("1", "send", '{"to": "a@b.example", "n": 1}'),)),
        Message("tool", "sent to a@b.example", tool_call_id="1"),
    ),
    tool_use=ToolUse((Tool("send", "as a@b.example", '{"default":"a@b.example"}'),), False),
)


def test_llm_gets_tools_and_messages_as_openai_has_them() -> None:
    body = _body(Call(CALLED, Caller("", ""), "1"), CALLED)
    (tool,) = json.loads(body["tools"])
    assert tool["function"]["parameters"] == {"default": "a@b.example"}
    assert body["parallel_tool_calls"] is False
    _, called, result = json.loads(body["messages"])
    assert called["tool_calls"][0]["function"]["arguments"] == '{"to": "a@b.example", "n": 1}'
    assert result["tool_call_id"] == called["tool_calls"][0]["id"] == "1"


def test_rag_refuses_tools_by_name() -> None:
    asked = replace(CALLED, model="rag_cancellable")
    with pytest.raises(BadRequest, match="tools: given to a model that calls none"):
        _body(Call(asked, Caller("", ""), "1"), asked)


def test_arguments_results_and_tools_are_texts_that_rules_see() -> None:
    assert sum("a@b.example" in text for _, text in texts_of(CALLED)) == 5


def test_redaction_changes_arguments_and_keeps_them_json() -> None:
    events: list[Event] = [
        CallPiece(0, "send", '{"to": "a@b.ex', 3),
        CallPiece(0, "", 'ample", "card": 4111111111111111}', 2),
        Finished("tool_calls", Usage(9, 5)),
    ]
    inner = Answering(*events)
    counted: list[str] = []
    handler = redacted(
        inner, RedactionPolicy(["*"], ["*"]), lambda _, name, number: counted.append(name)
    )
    piece, _ = answer(handler, call(CALLED))
    assert isinstance(piece, CallPiece)
    assert json.loads(piece.arguments) == {"to": "[EMAIL]", "card": "[CARD]"}
    assert (piece.name, piece.tokens) == ("send", 5)
    assert "a@b.example" not in "".join(text for _, text in texts_of(inner.calls[0].request))


def test_calls_can_be_kept() -> None:
    assert unpack(pack(CALLS, "1")) == (CALLS, "1")


def test_tools_count_before_the_model_has_counted_them() -> None:
    bounds = Bounds(context_tokens=100_000)
    plain = demand(replace(CALLED, tool_use=ToolUse()), bounds).input_tokens
    assert demand(CALLED, bounds).input_tokens > plain + 2000
    bare = replace(CALLED, messages=tuple(replace(m, tool_calls=()) for m in CALLED.messages))
    assert demand(bare, bounds).input_tokens < demand(CALLED, bounds).input_tokens
