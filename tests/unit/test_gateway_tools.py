"""Function tools through each API: what the model is asked, and what comes back."""

import itertools
import json
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from gateway.access.demand import Assumptions, demand
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
MIXED: list[Event] = [*CALLS[:3], Text(" Or", 1), Text(" else:", 1), *CALLS[3:]]
"""With text between the calls."""
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


def conversation(results: dict[str, str]) -> tuple[Message, ...]:
    """What the model is asked behind two calls, with the results by the ids of the calls."""
    first, second = results
    calls = ToolCall(first, "find_port", ARGUMENTS), ToolCall(second, "find_port", "{}")
    tools = [Message("tool", said, tool_call_id=i) for i, said in results.items()]
    return Message("user", "Which port?"), Message("assistant", "Let me see.", calls), *tools


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


NAMED = {"type": "function", "function": {"name": "other"}}
FORCED: list[tuple[str, Json, Any, list[str]]] = [
    ("/v1/chat/completions", CHAT, "required", ["find_port", "other"]),
    ("/v1/chat/completions", CHAT, NAMED, ["other"]),
    (
        "/v1/chat/completions",
        CHAT,
        {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [OTHER]}},
        ["other"],
    ),
    ("/v2/chat", CHAT, "REQUIRED", ["find_port", "other"]),
]


@pytest.mark.parametrize(("path", "body", "choice", "names"), FORCED)
def test_a_call_can_be_required(
    model: Model, path: str, body: Json, choice: Any, names: list[str]
) -> None:
    model.post(path, body | {"tools": [*body["tools"], OTHER], "tool_choice": choice})
    assert model.asked is not None
    assert model.asked.tool_use.is_required
    assert [tool.name for tool in model.asked.tool_use.tools] == names
    without = {name: value for name, value in body.items() if name != "tools"}
    model.post(path, without | {"tool_choice": choice}, status=400)


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
    assert model.asked.messages == conversation({i: f"result of {i}" for i in ids})


OLDER: Json = {"model": "llm", "messages": [USER], "functions": [FUNCTION]}


@pytest.mark.parametrize(
    ("choice", "is_required"), [(None, False), ("auto", False), ({"name": "find_port"}, True)]
)
def test_functions_are_the_older_form_of_tools(
    model: Model, choice: Any, is_required: bool
) -> None:
    model.events = SILENT
    (found,) = model.post("/v1/chat/completions", OLDER | {"function_call": choice})["choices"]
    assert model.asked is not None
    assert model.asked.tool_use == ToolUse((TOOL,), is_parallel=False, is_required=is_required)
    assert found["message"]["function_call"] == {"name": "find_port", "arguments": ARGUMENTS}
    assert (found["finish_reason"], "tool_calls" in found["message"]) == ("function_call", False)


def test_a_stream_in_the_older_form_adds_up_to_its_answer(model: Model) -> None:
    model.events = [*CALLS[:3], CALLS[-1]]
    chunks = model.post("/v1/chat/completions", OLDER | {"stream": True})
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    pieces = [delta["function_call"] for delta in deltas if "function_call" in delta]
    assert [piece["name"] for piece in pieces if "name" in piece] == ["find_port"]
    assert "".join(piece["arguments"] for piece in pieces) == ARGUMENTS
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["function_call"]


def test_a_call_and_its_result_go_back_in_the_older_form(model: Model) -> None:
    model.events = SILENT
    (choice,) = model.post("/v1/chat/completions", OLDER)["choices"]
    result = {"role": "function", "name": "find_port", "content": "8123"}
    model.post("/v1/chat/completions", OLDER | {"messages": [USER, choice["message"], result]})
    assert model.asked is not None
    _, call, told = model.asked.messages
    assert call == Message("assistant", "", (ToolCall("find_port", "find_port", ARGUMENTS),))
    assert told == Message("tool", "8123", tool_call_id="find_port")


# --- OpenAI's Responses --------------------------------------------------------------------

RESPONSES: Json = {
    "model": "llm",
    "input": "Which port?",
    "tools": [{"type": "function", "strict": True} | FUNCTION],
}


def test_responses_have_a_message_and_an_item_for_each_call(model: Model) -> None:
    found = model.post("/v1/responses", RESPONSES)
    assert model.asked is not None
    assert model.asked.tool_use == ToolUse((TOOL,))
    said, first, second = found["output"]
    assert said["content"][0]["text"] == "Let me see."
    assert [first["type"], first["name"], first["arguments"]] == [
        "function_call",
        "find_port",
        ARGUMENTS,
    ]
    assert first["call_id"] != second["call_id"]
    assert (found["status"], found["tools"][0]["strict"]) == ("completed", False)
    model.events = SILENT
    (only,) = model.post("/v1/responses", RESPONSES)["output"]
    assert only["type"] == "function_call"


def test_responses_can_require_a_call(model: Model) -> None:
    choice = {"type": "function", "name": "find_port"}
    found = model.post("/v1/responses", RESPONSES | {"tool_choice": choice})
    assert model.asked is not None
    assert model.asked.tool_use == ToolUse((TOOL,), is_required=True)
    assert found["tool_choice"] == choice


@pytest.mark.parametrize("events", [CALLS, SILENT, [CALLS[-1]], MIXED])
def test_a_stream_of_responses_adds_up(model: Model, events: list[Event]) -> None:
    model.events = events
    stream = model.post("/v1/responses", RESPONSES | {"stream": True})
    done = stream[-1]["response"]
    assert [e["sequence_number"] for e in stream] == list(range(len(stream)))
    items: dict[int, Json] = {}
    texts: dict[str, str] = {}
    for event in stream:
        match event["type"]:
            case "response.output_item.added":
                assert event["output_index"] == len(items)
                texts[event["item"]["id"]] = ""
                items[event["output_index"]] = {}
            case "response.output_item.done":
                items[event["output_index"]] = event["item"]
            case "response.output_text.delta" | "response.function_call_arguments.delta":
                texts[event["item_id"]] += event["delta"]
    assert list(items.values()) == done["output"]
    assert list(texts.values()) == [
        item["arguments"] if item["type"] == "function_call" else item["content"][0]["text"]
        for item in done["output"]
    ]


def test_calls_and_outputs_of_responses_go_back_to_the_model(model: Model) -> None:
    output = model.post("/v1/responses", RESPONSES)["output"]
    called = [item for item in output if item["type"] == "function_call"]
    results: list[Json] = [
        {
            "type": "function_call_output",
            "call_id": item["call_id"],
            "output": [{"type": "input_text", "text": "8123"}],
        }
        for item in called
    ]
    model.post("/v1/responses", RESPONSES | {"input": [USER, *output, *results]})
    assert model.asked is not None
    ids = [item["call_id"] for item in called]
    assert model.asked.messages == conversation(dict.fromkeys(ids, "8123"))


# --- Anthropic's messages ------------------------------------------------------------------

MESSAGES: Json = {
    "model": "llm",
    "max_tokens": 9,
    "messages": [USER],
    "tools": [{"name": "find_port", "description": "Finds it.", "input_schema": SCHEMA}],
}


def test_messages_have_a_block_for_each_text_and_call(model: Model) -> None:
    found = model.post(
        "/v1/messages",
        MESSAGES | {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    )
    assert model.asked is not None
    assert model.asked.tool_use == ToolUse((TOOL,), is_parallel=False)
    text, first, second = found["content"]
    assert text == {"type": "text", "text": "Let me see."}
    assert (first["name"], first["input"], second["input"]) == (
        "find_port",
        {"server": "vebra"},
        {},
    )
    assert first["id"] != second["id"]
    assert found["stop_reason"] == "tool_use"


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "find_port"}])
def test_messages_can_require_a_call(model: Model, choice: Json) -> None:
    model.post("/v1/messages", MESSAGES | {"tool_choice": choice})
    assert model.asked is not None
    assert model.asked.tool_use == ToolUse((TOOL,), is_required=True)
    asked = _body(Call(model.asked, Caller("", ""), "1"), model.asked)
    assert asked["tool_choice"] == "required"
    counted = {name: value for name, value in MESSAGES.items() if name != "max_tokens"}
    model.post("/v1/messages/count_tokens", counted | {"tool_choice": choice})
    assert not model.asked.tool_use.is_required


def test_a_call_whose_arguments_are_no_json_is_a_text_in_messages(model: Model) -> None:
    model.events = [CallPiece(0, "f", '{"a": 1', 1), Finished("tool_calls", Usage(9, 1))]
    (block,) = model.post("/v1/messages", MESSAGES)["content"]
    assert block == {"type": "text", "text": 'f {"a": 1'}


@pytest.mark.parametrize(
    ("arguments", "begun"),
    [
        ("", {}),
        ('{"ci', {}),
        ('{"city": "Par', {}),
        ('{"city": "Paris", "days": [1,', {"city": "Paris", "days": [1]}),
    ],
)
def test_a_call_that_is_cut_is_a_call_in_every_api(
    model: Model, arguments: str, begun: Json
) -> None:
    """Its end says so. Anthropic's client reads the same from a stream."""
    model.events = [CallPiece(0, "f", arguments, 1), Finished("length", Usage(9, 1))]
    found = model.post("/v1/messages", MESSAGES)
    (block,) = found["content"]
    assert (block["type"], block["name"], block["input"]) == ("tool_use", "f", begun)
    assert found["stop_reason"] == "max_tokens"
    (choice,) = model.post("/v1/chat/completions", CHAT)["choices"]
    (called,) = choice["message"]["tool_calls"]
    assert called["function"] == {"name": "f", "arguments": arguments}
    assert (choice["finish_reason"], choice["message"]["content"]) == ("length", None)
    answer = model.post("/v1/responses", RESPONSES)
    (item,) = answer["output"]
    assert (item["type"], item["arguments"], item["status"]) == (
        "function_call",
        arguments,
        "incomplete",
    )


@pytest.mark.parametrize("events", [CALLS, SILENT, [CALLS[-1]], MIXED])
def test_a_stream_of_messages_adds_up(model: Model, events: list[Event]) -> None:
    model.events = events
    whole = model.post("/v1/messages", MESSAGES)
    stream = model.post("/v1/messages", MESSAGES | {"stream": True})
    blocks: list[Json] = []
    inputs: dict[int, str] = {}
    open_index = -1
    for event in stream:
        match event["type"]:
            case "content_block_start":
                assert event["index"] == len(blocks) == open_index + 1
                open_index = event["index"]
                blocks.append(event["content_block"])
                inputs[open_index] = ""
            case "content_block_delta":
                assert event["index"] == open_index
                inputs[open_index] += event["delta"].get("partial_json", "")
                if "text" in event["delta"]:
                    blocks[open_index]["text"] += event["delta"]["text"]
            case "content_block_stop":
                assert event["index"] == open_index
                if blocks[open_index]["type"] == "tool_use":
                    blocks[open_index]["input"] = json.loads(inputs[open_index])
    assert [b | {"id": ""} for b in blocks] == [b | {"id": ""} for b in whole["content"]]
    assert stream[-2]["delta"]["stop_reason"] == whole["stop_reason"] == "tool_use"


def test_calls_and_results_of_messages_go_back_to_the_model(model: Model) -> None:
    content = model.post("/v1/messages", MESSAGES)["content"]
    first, second = (block["id"] for block in content[1:])
    results: list[Json] = [
        {"type": "tool_result", "tool_use_id": first, "content": "8123"},
        {
            "type": "tool_result",
            "tool_use_id": second,
            "content": [{"type": "text", "text": "none"}],
            "is_error": True,
        },
        {"type": "text", "text": "And now?"},
    ]
    turns = [USER, {"role": "assistant", "content": content}, {"role": "user", "content": results}]
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        body = MESSAGES | {"messages": turns}
        model.post(
            path,
            {name: body[name] for name in ("model", "messages", "tools")}
            if path.endswith("tokens")
            else body,
        )
        assert model.asked is not None
        assert model.asked.tool_use.tools == (TOOL,)
        assert model.asked.messages[1:] == (
            Message(
                "assistant",
                "Let me see.",
                (
                    ToolCall(first, "find_port", '{"server":"vebra"}'),
                    ToolCall(second, "find_port", "{}"),
                ),
            ),
            Message("tool", "8123", tool_call_id=first),
            Message("tool", "none", tool_call_id=second),
            Message("user", "And now?"),
        )


# --- Cohere --------------------------------------------------------------------------------

COHERE: Json = CHAT | {"tools": [{"type": "function", "function": FUNCTION}]}


def test_cohere_s_chat_has_calls_beside_its_text(model: Model) -> None:
    found = model.post("/v2/chat", COHERE)
    assert model.asked is not None
    assert model.asked.tool_use == ToolUse((TOOL,))
    assert found["finish_reason"] == "TOOL_CALL"
    message = found["message"]
    assert message["content"] == [{"type": "text", "text": "Let me see."}]
    assert [c["function"]["arguments"] for c in message["tool_calls"]] == [ARGUMENTS, "{}"]
    model.events = SILENT
    assert "content" not in model.post("/v2/chat", COHERE)["message"]
    assert model.post("/v2/chat", COHERE | {"tool_choice": "NONE"})
    assert not model.asked.tool_use.tools


@pytest.mark.parametrize("events", [CALLS, SILENT, MIXED])
def test_a_stream_of_cohere_adds_up(model: Model, events: list[Event]) -> None:
    model.events = events
    whole = model.post("/v2/chat", COHERE)["message"]
    stream = model.post("/v2/chat", COHERE | {"stream": True})
    calls: list[Json] = []
    text, ended = "", []
    for event in stream:
        message = event.get("delta", {}).get("message", {})
        match event["type"]:
            case "tool-call-start":
                assert event["index"] == len(calls)
                calls.append(message["tool_calls"])
            case "tool-call-delta":
                function = calls[event["index"]]["function"]
                function["arguments"] += message["tool_calls"]["function"]["arguments"]
            case "tool-call-end":
                ended.append(event["index"])
            case "content-delta":
                text += message["content"]["text"]
    assert [c["function"] for c in calls] == [c["function"] for c in whole["tool_calls"]]
    assert text == "".join(part["text"] for part in whole.get("content", ()))
    assert ended == list(range(len(calls)))
    kinds = [event["type"] for event in stream]
    assert kinds.count("content-start") == kinds.count("content-end") == bool(text)
    assert stream[-1]["delta"]["finish_reason"] == "TOOL_CALL"


def test_calls_and_results_of_cohere_go_back_to_the_model(model: Model) -> None:
    message = model.post("/v2/chat", COHERE)["message"]
    first, second = (each["id"] for each in message["tool_calls"])
    called = {"role": "assistant", "tool_calls": message["tool_calls"], "tool_plan": "I look."}
    document: Json = {"type": "document", "document": {"data": {"port": 8123}}}
    results: list[Json] = [
        {"role": "tool", "tool_call_id": first, "content": [document]},
        {"role": "tool", "tool_call_id": second, "content": "none"},
    ]
    model.post("/v2/chat", COHERE | {"messages": [USER, called, *results]})
    assert model.asked is not None
    assert model.asked.messages[1:] == (
        Message(
            "assistant",
            "I look.",
            (ToolCall(first, "find_port", ARGUMENTS), ToolCall(second, "find_port", "{}")),
        ),
        Message("tool", '{"port":8123}', tool_call_id=first),
        Message("tool", "none", tool_call_id=second),
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
    assumed = Assumptions(context_tokens=100_000)
    plain = demand(replace(CALLED, tool_use=ToolUse()), assumed).input_tokens
    assert demand(CALLED, assumed).input_tokens > plain + 2000
    bare = replace(CALLED, messages=tuple(replace(m, tool_calls=()) for m in CALLED.messages))
    assert demand(bare, assumed).input_tokens < demand(CALLED, assumed).input_tokens
