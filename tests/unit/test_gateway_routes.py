"""Every route over an in-memory model: what is refused, in the words of its API, and streams."""

import json
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from httpx import Response

from gateway.access.settings import AccessSettings
from gateway.access.tiers import Tier
from gateway.app import new_app
from gateway.call import Call, Embedded, Event, Finished, Ranked, Text, Usage
from gateway.errors import (
    ContextExceeded,
    GatewayError,
    Limited,
    NotFound,
    Unavailable,
    UpstreamFailed,
)
from gateway.guards.settings import GuardSettings
from gateway.protocols import openai_files, openai_store_files, openai_vector_stores
from gateway.settings import Files, Listen, Settings
from tests.fakes.api_errors import is_worded

Json = dict[str, Any]
ANSWER: list[Event | Exception] = [
    Text("8123", 1),
    Finished("stop", Usage(9, 1)),
]
QUESTION = [{"role": "user", "content": "Which port?"}]
MESSAGES: Json = {"model": "llm", "max_tokens": 8, "messages": QUESTION}
CHAT: Json = {"model": "rag", "messages": QUESTION}
EMBED: Json = {"model": "embed", "texts": ["a"], "input_type": "search_query"}
RERANK: Json = {"model": "rerank", "query": "q", "documents": ["a"]}
RANKING: Json = {"model": "rerank", "query": {"text": "q"}, "passages": [{"text": "a"}]}
RESPONSES: Json = {"model": "llm", "input": "Which port?"}
TEI_RERANK: Json = {"query": "q", "texts": ["a"]}
CHAT_V1: Json = {"model": "llm", "message": "Which port?"}
COMPACTION = {"edits": [{"type": "compact_20260112"}]}
TOOL_RESULT = [{"role": "user", "content": [{"type": "tool_result", "content": "8123"}]}]
TOOL_CALL = [{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}]


def _called(arguments: str, result: str) -> list[Json]:
    """A call with id 1, and a result of the call `result`."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    turn = {"role": "assistant", "content": None, "tool_calls": [call]}
    return [*QUESTION, turn, {"role": "tool", "tool_call_id": result, "content": "8123"}]


def _deep(levels: int) -> Json:
    return {"a": _deep(levels - 1)} if levels else {}


def _offered(count: int = 1, **function: Any) -> Json:
    tool = {"type": "function", "function": {"name": "f"} | function}
    return CHAT | {"tools": [tool] * count}


FUNCTIONS = {"functions": [{"name": "f"}]}
RESULT = [{"role": "function", "name": "f", "content": "8123"}]
ARGUMENTS = "messages.1.tool_calls.0.function.arguments"
PARAMETERS = "tools.0.function.parameters"
OTHER = {"type": "function", "function": {"name": "g"}}
SEARCHES = {"type": "web_search", "function": {"name": "f"}}
TOOL_USE = [{"role": "assistant", "content": [{"type": "tool_use", "id": "1"}]}, *QUESTION]
SERVERS = {"type": "bash_20250124", "name": "bash"}
FUNCTION_TOOL = {"type": "function", "name": "f"}
SEARCH = {"type": "file_search", "vector_store_ids": ["vs_1"]}
OUTPUT: Json = {"type": "function_call_output", "call_id": "1", "output": "8123"}
NO_CONTENT = [{"role": "user", "content": None}]
IMAGE = [{"role": "user", "content": [{"type": "image", "source": {}}]}]


@dataclass
class Model:
    """Answers every call with these events, up to one that is an error."""

    client: TestClient
    events: list[Event | Exception]

    async def handle(self, call: Call) -> AsyncGenerator[Event, None]:
        for event in self.events:
            if isinstance(event, Exception):
                raise event
            yield event


@pytest.fixture(scope="module")
def shared() -> Iterator[Model]:
    app = new_app(Settings())
    with TestClient(app, "http://localhost") as client:
        model = Model(client, [])
        app.state.service = replace(app.state.service, handler=model.handle)
        yield model


@pytest.fixture
def model(shared: Model) -> Model:
    shared.events = list(ANSWER)
    return shared


def message_of(answer: Response) -> str:
    """The message, wherever the API has it."""
    body = answer.json()
    error = body.get("error", body)
    return str(error if isinstance(error, str) else error["message"])


REFUSALS: list[tuple[str, Json, str]] = [
    ("/v1/messages", {"model": "llm", "messages": QUESTION}, "max_tokens"),
    ("/v1/messages", MESSAGES | {"max_tokens": "8"}, "max_tokens"),
    ("/v1/messages", MESSAGES | {"max_token": 8}, "max_token"),
    ("/v1/messages", MESSAGES | {"messages": []}, "messages"),
    ("/v1/messages", MESSAGES | {"messages": [{"role": "tool", "content": ""}]}, "messages.0.role"),
    ("/v1/messages", MESSAGES | {"messages": IMAGE}, "messages.0.content.0.type"),
    ("/v1/messages", MESSAGES | {"messages": TOOL_RESULT}, "messages.0.content.0.tool_use_id"),
    ("/v1/messages", MESSAGES | {"messages": TOOL_USE}, "messages.0.content.0"),
    ("/v1/messages", MESSAGES | {"tools": [SERVERS]}, "tools.0.type"),
    ("/v1/messages", MESSAGES | {"tools": [{"name": ""}]}, "tools.0.name"),
    (
        "/v1/messages",
        MESSAGES | {"tools": [{"name": "f", "input_schema": _deep(40)}]},
        "tools.0.input_schema",
    ),
    (
        "/v1/messages",
        MESSAGES | {"tools": [{"name": "f"}], "tool_choice": {"type": "tool", "name": "g"}},
        "tool_choice.name",
    ),
    ("/v1/messages", MESSAGES | {"tool_choice": {"type": "x"}}, "tool_choice.type"),
    ("/v1/messages", MESSAGES | {"thread": {"type": "create"}}, "thread"),
    ("/v1/messages", MESSAGES | {"thinking": {"type": "enabled"}}, "thinking"),
    ("/v1/messages", MESSAGES | {"messages": [{"role": "assistant", "content": "a"}]}, "messages"),
    ("/v1/messages", MESSAGES | {"system": [{"type": "text"}]}, "system.0.text"),
    ("/v1/messages/count_tokens", MESSAGES | {"model": 1}, "model"),
    (
        "/v1/chat/completions",
        CHAT | {"messages": TOOL_CALL},
        "messages.0.tool_calls.0.function",
    ),
    ("/v1/chat/completions", CHAT | {"messages": _called("{", "1")}, ARGUMENTS),
    ("/v1/chat/completions", CHAT | {"messages": _called("[1]", "1")}, ARGUMENTS),
    (
        "/v1/chat/completions",
        CHAT | {"messages": _called("{}", "2")},
        "messages.2.tool_call_id",
    ),
    ("/v1/chat/completions", _offered(129), "tools"),
    ("/v1/chat/completions", _offered(name="a b"), "tools.0.function.name"),
    ("/v1/chat/completions", _offered(parameters=_deep(40)), PARAMETERS),
    ("/v1/chat/completions", _offered(parameters={"a": "a" * 70_000}), PARAMETERS),
    ("/v1/chat/completions", CHAT | {"tools": [SEARCHES]}, "tools.0.type"),
    ("/v1/chat/completions", CHAT | {"tools": [{"type": "function"}]}, "tools.0.function"),
    ("/v1/chat/completions", _offered() | {"tool_choice": "some"}, "tool_choice"),
    ("/v1/chat/completions", _offered() | {"tool_choice": OTHER}, "tool_choice"),
    ("/v1/chat/completions", _offered() | FUNCTIONS, "tools"),
    ("/v1/chat/completions", CHAT | {"function_call": {"name": "f"}}, "function_call"),
    ("/v1/chat/completions", CHAT | FUNCTIONS | {"function_call": {"name": "g"}}, "function_call"),
    ("/v1/chat/completions", CHAT | FUNCTIONS | {"function_call": "some"}, "function_call"),
    ("/v1/chat/completions", CHAT | {"functions": [{"name": "a b"}]}, "functions.0.name"),
    ("/v1/chat/completions", CHAT | {"functions": [{"name": "f"}] * 129}, "functions"),
    ("/v1/chat/completions", CHAT | {"messages": RESULT}, "messages.0.name"),
    ("/v1/chat/completions", CHAT | {"messages": NO_CONTENT}, "messages.0.content"),
    ("/v1/chat/completions", CHAT | {"tools": [{}], "tool_choice": "auto"}, "tools.0.type"),
    ("/v1/chat/completions", CHAT | {"min_p": 0.1}, "min_p"),
    ("/v1/completions", {"model": "llm", "prompt": "a", "ignore_eos": True}, "ignore_eos"),
    ("/v1/chat/completions", CHAT | {"skip_special_tokens": False}, "skip_special_tokens"),
    ("/v1/chat/completions", CHAT | {"unknown": 1}, "unknown"),
    ("/v1/messages", MESSAGES | {"context_management": COMPACTION}, "context_management"),
    ("/v1/chat", CHAT_V1 | {"message": 1}, "message"),
    ("/v1/chat", CHAT_V1 | {"conversation_id": "a"}, "conversation_id"),
    ("/v1/chat", CHAT_V1 | {"connectors": [{"id": "web-search"}]}, "connectors"),
    ("/v2/chat", CHAT | {"tools": [{}]}, "tools.0.type"),
    ("/v2/chat", _offered() | {"strict_tools": True}, "strict_tools"),
    ("/v2/chat", _offered() | {"tool_choice": "AUTO"}, "tool_choice"),
    ("/v2/chat", CHAT | {"messages": _called("{}", "2")}, "messages.2.tool_call_id"),
    ("/v2/chat", CHAT | {"messages": NO_CONTENT}, "messages.0.content"),
    ("/v2/chat", CHAT | {"response_format": {"type": "xml"}}, "response_format.type"),
    ("/v2/chat", CHAT | {"logprobs": True}, "logprobs"),
    ("/v2/chat", CHAT | {"messages": [{"role": "user", "content": 1}]}, "messages.0.content"),
    ("/v2/chat", CHAT | {"documents": [{"id": "a"}]}, "documents.0"),
    ("/v2/embed", EMBED | {"input_type": "image"}, "input_type"),
    ("/v2/embed", EMBED | {"embedding_types": ["int8"]}, "embedding_types"),
    ("/v2/embed", EMBED | {"images": ["data:"]}, "images"),
    ("/v2/embed", {"model": "embed", "input_type": "search_query"}, "texts"),
    ("/v1/rerank", RERANK | {"documents": []}, "documents"),
    ("/v2/rerank", RERANK | {"documents": [{"title": "a"}]}, "documents.0"),
    ("/v2/rerank", RERANK | {"top_n": 0}, "top_n"),
    ("/v2/rerank", RERANK | {"max_tokens_per_doc": 100}, "max_tokens_per_doc"),
    ("/similarity", {"inputs": {"source_sentence": "a"}}, "inputs.sentences"),
    ("/v1/ranking", RANKING | {"query": "q"}, "query"),
    ("/v1/ranking", RANKING | {"truncate": "START"}, "truncate"),
    ("/v1/ranking", RANKING | {"passages": [{"text": "", "image": "i"}]}, "passages.0.image"),
    ("/rerank", {"query": "q", "texts": []}, "texts"),
    ("/embed", {"inputs": 1}, "inputs"),
    ("/", {"inputs": "a", "parameters": {}}, "parameters"),
    ("/embed", {"inputs": "a", "truncation_direction": "Left"}, "truncation_direction"),
    ("/v1/responses", RESPONSES | {"previous_response_id": "resp_1"}, "previous_response_id"),
    ("/v1/responses", RESPONSES | {"store": True}, "store"),
    ("/v1/moderations", {"input": []}, "input"),
    ("/v1/responses", RESPONSES | {"tools": [{"type": "web_search"}]}, "tools.0.type"),
    ("/v1/responses", RESPONSES | {"tools": [{"type": "function"}]}, "tools.0.name"),
    ("/v1/responses", RESPONSES | {"tools": [FUNCTION_TOOL, SEARCH]}, "tools"),
    ("/v1/responses", RESPONSES | {"input": [OUTPUT]}, "input.0.call_id"),
    ("/v1/responses", RESPONSES | {"input": [OUTPUT | {"output": None}]}, "input.0"),
    (
        "/v1/responses",
        RESPONSES
        | {"tools": [FUNCTION_TOOL], "tool_choice": {"type": "allowed_tools", "mode": "auto"}},
        "tool_choice",
    ),
    ("/v1/responses", RESPONSES | {"input": [{"type": "reasoning"}]}, "input"),
    ("/v1/responses", RESPONSES | {"input": [{"type": "item_reference"}]}, "input.0"),
    ("/v1/responses", RESPONSES | {"input": []}, "input"),
    (
        "/v1/chat/completions",
        CHAT | {"messages": [{"role": "user", "content": [{"type": "refusal", "refusal": "a"}]}]},
        "messages.0.content.0.type",
    ),
    (
        "/v1/chat/completions",
        CHAT | {"messages": [{"role": "assistant", "content": [{"type": "refusal"}]}]},
        "messages.0.content.0.refusal",
    ),
    ("/v1/responses", RESPONSES | {"include": ["message.output_text.logprobs"]}, "include"),
    ("/v1/responses", RESPONSES | {"n": 2}, "n"),
    ("/v1/responses", RESPONSES | {"text": {"format": {"type": "xml"}}}, "text.format.type"),
]


@pytest.mark.parametrize(("path", "body", "field"), REFUSALS)
def test_what_is_not_possible_is_refused_by_name(
    model: Model, path: str, body: Json, field: str
) -> None:
    answer = model.client.post(path, json=body)
    assert answer.status_code == 400
    assert message_of(answer).startswith((f"{field}: ", f"{field}, "))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", MESSAGES),
        ("/v2/chat", CHAT),
        ("/v1/rerank", RERANK),
        ("/v1/ranking", RANKING),
        ("/v1/responses", RESPONSES),
        ("/embed", {"inputs": "a"}),
    ],
)
def test_refusals_do_not_repeat_what_was_written(model: Model, path: str, body: Json) -> None:
    for key in body:
        for value in ("my password is 1234", ["my password is 1234"], {"a": "my password is 1234"}):
            answer = model.client.post(path, json=body | {key: value})
            if answer.status_code != 200:
                assert "1234" not in answer.text


def test_each_api_words_its_errors(model: Model) -> None:
    model.events = [NotFound("gone")]
    bodies = {
        path: model.client.post(path, json=body).json()
        for path, body in (
            ("/v1/messages", MESSAGES),
            ("/v2/chat", CHAT),
            ("/v1/responses", RESPONSES),
            ("/rerank", TEI_RERANK),
        )
    }
    assert bodies["/v1/messages"] == {
        "type": "error",
        "error": {"type": "not_found_error", "message": "gone"},
    }
    assert bodies["/v2/chat"] == {"message": "gone"}
    assert bodies["/v1/responses"]["error"]["code"] == "model_not_found"
    assert bodies["/rerank"] == {"error": "gone", "error_type": "Validation"}


@pytest.mark.parametrize(
    ("prompt_tokens", "max_tokens", "said"),
    [
        (70, 0, "prompt is too long: 70 tokens > 63 maximum"),
        (60, 8, "input length and `max_tokens` exceed context limit: 60 + 8 > 64, "),
        (0, 0, "prompt is too long: as Triton says"),
    ],
)
def test_agents_recognise_a_full_context(
    model: Model, prompt_tokens: int, max_tokens: int, said: str
) -> None:
    """opencode, Cline, Continue and pi shorten their chat at this code, Claude Code at the text."""
    counts = {"prompt_tokens": prompt_tokens, "max_tokens": max_tokens, "context_tokens": 64}
    model.events = [ContextExceeded("as Triton says", field="prompt", **counts)]
    error = model.client.post("/v1/messages", json=MESSAGES).json()["error"]
    assert (error["type"], error["message"].startswith(said)) == ("invalid_request_error", True)
    error = model.client.post("/v1/chat/completions", json=CHAT).json()["error"]
    assert (error["code"], error["message"]) == ("context_length_exceeded", "as Triton says")


def test_head_is_get_without_a_body(model: Model) -> None:
    """Claude Code and load balancers look in this way whether somebody is there."""
    assert model.client.head("/livez").status_code == 200
    assert model.client.head("/v1/messages").status_code == 405


PAGE = "https://chat.example.com"
PREFLIGHT = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-lang",
    "access-control-request-private-network": "true",
}


@pytest.mark.parametrize(("origins", "allowed"), [((), None), ((PAGE,), PAGE), (("*",), "*")])
def test_web_pages_may_ask_where_a_setting_names_them(
    origins: tuple[str, ...], allowed: str | None
) -> None:
    with TestClient(
        new_app(Settings(listen=Listen(origins=origins))), "http://localhost"
    ) as client:
        asked = client.options("/v1/chat/completions", headers=PREFLIGHT)
        refused = client.post("/v1/chat/completions", json={}, headers={"origin": PAGE})
        form = {"file": ("a.txt", b"a"), "purpose": (None, "assistants")}
        upload = client.post("/v1/files", files=form, headers={"origin": PAGE})
    assert asked.status_code == (200 if allowed else 405)
    assert ("access-control-allow-private-network" in asked.headers) == bool(allowed)
    for answer in (asked, refused):
        assert answer.headers.get("access-control-allow-origin") == allowed
    assert upload.status_code == (404 if allowed else 403)  # no files are kept here


def test_other_pages_may_not_ask() -> None:
    with TestClient(
        new_app(Settings(listen=Listen(origins=(PAGE,)))), "http://localhost"
    ) as client:
        other = PREFLIGHT | {"origin": "https://evil.example.com"}
        assert client.options("/v1/chat/completions", headers=other).status_code == 400


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Limited("no", retry_after_s=1.2), "rate_limit_error"),  # after 1 s it would be refused
        (Unavailable("no", retry_after_s=2), "overloaded_error"),
    ],
)
def test_an_error_before_the_first_text_has_a_status(
    model: Model, error: GatewayError, kind: str
) -> None:
    model.events = [error]
    answer = model.client.post("/v1/messages", json=MESSAGES | {"stream": True})
    assert (answer.status_code, answer.headers["retry-after"]) == (error.status, "2")
    assert answer.json()["error"]["type"] == kind


def last_event(answer: Response) -> tuple[str, Json]:
    """Name and data of a stream's last event, but OpenAI's [DONE]."""
    events = [e for e in answer.text.strip().split("\n\n") if not e.endswith("[DONE]")]
    name, data = events[-1].split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def test_a_stream_that_breaks_ends_with_an_error(model: Model) -> None:
    model.events = [Text("8", 1), UpstreamFailed("broken")]
    name, data = last_event(model.client.post("/v1/messages", json=MESSAGES | {"stream": True}))
    assert (name, data["error"]["type"]) == ("error", "api_error")
    name, data = last_event(model.client.post("/v2/chat", json=CHAT | {"stream": True}))
    assert (name, data["delta"]["error"]) == ("message-end", "broken")
    answer = model.client.post("/v1/responses", json=RESPONSES | {"stream": True})
    name, data = last_event(answer)
    assert (name, data["response"]["error"]["message"]) == ("response.failed", "broken")
    assert data["sequence_number"] == answer.text.count("event: ") - 1


@pytest.mark.parametrize(
    "path",
    [
        "/chat/completions",
        "/v1/v1/chat/completions",
        "//v1/chat/completions",
        "//chat/completions/",
        "/openai/v1/chat/completions",
        "/v1/openai/v1/chat/completions",
        "/openai/chat/completions?api-version=2025-04-01-preview",
        "/my/openai/deployments/llm/chat/completions?api-version=2024-10-21",
    ],
)
def test_what_is_around_a_path_in_a_base_url_changes_nothing(model: Model, path: str) -> None:
    """Groq's, Together's, Fireworks' and Azure's clients put it there, whatever base URL is set."""
    answer = model.client.post(f"http://localhost{path}", json=CHAT)
    assert (answer.status_code, answer.json()["object"]) == (200, "chat.completion")


def test_the_model_is_the_one_that_azure_s_path_names(model: Model) -> None:
    path = "/openai/deployments/llm/chat/completions"
    for more in ({}, {"model": "gpt-4o"}):
        answer = model.client.post(path, json={"messages": QUESTION} | more)
        assert (answer.status_code, answer.json()["model"]) == (200, "llm")


@pytest.mark.parametrize("path", ["/v1/", "/v1", "/v1/rerank/rerank", "/v1/metrics", "/x/"])
def test_a_path_that_can_not_be_told_is_not_found(model: Model, path: str) -> None:
    assert model.client.post(path, json=CHAT).status_code == 404


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/v1/responses/resp_1", "no response is stored: send the whole conversation"),
        ("/v1/conversations", "nothing is stored"),
        ("/v1/audio/speech", "models of text only"),
        ("/v1beta/models/llm:generateContent", "Gemini's API; use /v1/chat/completions"),
        ("/api/chat", "Ollama's API; use /v1/chat/completions"),
        ("/v2/systemsharedmemory/region/a/register", "ask Triton itself"),
        ("/invocations", "use /v1/completions"),
        ("/nothing", "/docs lists what is here"),
        ("/v1/messages/batches/msgbatch_1", "send the messages one by one"),
    ],
)
def test_parts_of_an_api_that_are_not_served_are_said(model: Model, path: str, says: str) -> None:
    answer = model.client.get(path)
    assert answer.status_code == 404
    assert says in message_of(answer)


@pytest.mark.parametrize("path", ["/v1/chat/completions/", "/v1/messages//", "/v2/chat/"])
def test_a_slash_behind_a_path_changes_nothing(model: Model, path: str) -> None:
    """A redirect would lead past a TLS proxy."""
    answer = model.client.post(path, json=MESSAGES, follow_redirects=False)
    assert answer.status_code == 200


def test_another_method_is_told_which_one_is_possible(model: Model) -> None:
    answer = model.client.get("/v1/messages")
    error = answer.json()["error"]
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert error["type"] == "invalid_request_error"
    assert error["message"].endswith("; POST is possible")


def test_a_part_of_anthropic_s_api_that_is_not_served_has_anthropic_s_error(model: Model) -> None:
    error = model.client.post("/v1/messages/batches", json={"requests": []}).json()
    assert (error["type"], error["error"]["type"]) == ("error", "not_found_error")


def test_a_reference_to_an_item_tells_the_setting_of_clients_that_avoids_it(model: Model) -> None:
    body = RESPONSES | {"input": [{"type": "item_reference", "id": "fc_1"}]}
    assert '"store": false' in message_of(model.client.post("/v1/responses", json=body))


FAULT = ValueError("my password is 1234")
ROUTES: list[tuple[str, Json]] = [
    ("/v1/messages", MESSAGES),
    ("/v1/messages/count_tokens", {"model": "llm", "messages": QUESTION}),
    ("/v1/chat/completions", {"model": "llm", "messages": QUESTION}),
    ("/v1/chat/completions", {"model": "llm", "messages": QUESTION, "n": 2}),
    ("/v1/completions", {"model": "llm", "prompt": "a"}),
    ("/v1/embeddings", {"model": "embed", "input": "a"}),
    ("/v1/responses", RESPONSES),
    ("/v1/rag", {"question": "q", "documents": ["a"]}),
    ("/v2/chat", CHAT),
    ("/v2/embed", EMBED),
    ("/v2/rerank", RERANK),
    ("/v1/chat", CHAT_V1),
    ("/v1/embed", EMBED),
    ("/v1/ranking", RANKING),
    ("/v1/retrieval/nvidia/reranker/reranking", RANKING),
    ("/rerank", TEI_RERANK),
    ("/rerank", RERANK),
    ("/embed", {"inputs": "a"}),
    ("/", {"inputs": "a"}),
    ("/similarity", {"inputs": {"source_sentence": "a", "sentences": ["b"]}}),
]


@pytest.mark.parametrize(("path", "body"), ROUTES)
def test_a_fault_of_the_gateway_is_worded_by_the_api_and_logged_once(
    model: Model, caplog: pytest.LogCaptureFixture, path: str, body: Json
) -> None:
    model.events = [FAULT]
    answer = model.client.post(path, json=body, headers={"x-request-id": "order-66"})
    assert answer.status_code == 500
    assert is_worded(path, answer.json())
    assert answer.headers["x-request-id"] == "order-66"
    assert "order-66" in message_of(answer)
    (logged,) = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    assert "order-66: ValueError at gateway/" in logged
    assert "tests/unit/test_gateway_routes.py:" in logged
    assert "1234" not in caplog.text + answer.text


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/messages", MESSAGES), ("/v2/chat", CHAT), ("/v1/responses", RESPONSES)],
)
def test_a_fault_in_a_stream_ends_it_as_its_api_does(
    model: Model, caplog: pytest.LogCaptureFixture, path: str, body: Json
) -> None:
    model.events = [Text("8", 1), FAULT]
    answer = model.client.post(path, json=body | {"stream": True})
    name, _ = last_event(answer)
    assert name in ("error", "message-end", "response.failed")
    assert "the gateway itself failed" in answer.text
    assert [each.levelname for each in caplog.records].count("ERROR") == 1
    assert "1234" not in caplog.text + answer.text


def test_anthropic_s_headers_are_those_of_the_others(model: Model) -> None:
    refusal = Limited("no", retry_after_s=2)
    refusal.headers = {
        "x-ratelimit-limit-requests": "4",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m0.5s",
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "9",
        "x-ratelimit-reset-tokens": "250ms",
    }
    model.events = [refusal]
    before = datetime.now(UTC).replace(microsecond=0)
    headers = model.client.post("/v1/messages", json=MESSAGES).headers
    assert headers["request-id"] == headers["x-request-id"]
    assert headers["anthropic-ratelimit-requests-limit"] == "4"
    assert headers["anthropic-ratelimit-tokens-remaining"] == "9"
    reset = {
        kind: datetime.fromisoformat(headers[f"anthropic-ratelimit-{kind}-reset"]) - before
        for kind in ("requests", "tokens")
    }
    assert timedelta(seconds=60) <= reset["requests"] <= timedelta(seconds=90)
    assert timedelta(0) <= reset["tokens"] < timedelta(seconds=30)
    others = model.client.post("/v1/responses", json=RESPONSES).headers
    assert not [name for name in others if name.startswith("anthropic") or name == "request-id"]


def test_every_stream_ends_as_its_api_does(model: Model) -> None:
    ends = {
        path: last_event(model.client.post(path, json=body | {"stream": True}))[0]
        for path, body in (
            ("/v1/messages", MESSAGES),
            ("/v2/chat", CHAT),
            ("/v1/responses", RESPONSES),
        )
    }
    assert ends == {
        "/v1/messages": "message_stop",
        "/v2/chat": "message-end",
        "/v1/responses": "response.completed",
    }


def test_counting_tokens_is_counting_the_input(model: Model) -> None:
    body = {"model": "llm", "messages": QUESTION}
    answer = model.client.post("/v1/messages/count_tokens", json=body)
    assert answer.json() == {"input_tokens": 9}


def test_scores_and_embeddings_come_in_every_shape(model: Model) -> None:
    model.events = [Ranked((0.0,), Usage(3))]
    assert model.client.post("/rerank", json=TEI_RERANK).json() == [{"index": 0, "score": 0.5}]
    ranking = model.client.post("/v1/ranking", json=RANKING).json()
    assert ranking["rankings"] == [{"index": 0, "logit": 0.0}]
    scored = {"index": 0, "relevance_score": 0.5}
    assert model.client.post("/v2/rerank", json=RERANK).json()["results"] == [scored]
    for path in ("/v1/rerank", "/rerank"):  # Jina's and vLLM's have the document
        results = model.client.post(path, json=RERANK).json()["results"]
        assert results == [scored | {"document": {"text": "a"}}]
    for voyages in ({}, {"top_k": None}, {"top_k": 1, "truncation": True}):
        assert model.client.post("/v1/rerank", json=RERANK | voyages).json()["data"] == results
    assert "data" not in model.client.post("/v1/rerank", json=RERANK | {"top_n": 1}).json()
    model.events = [Embedded((b"\0\0\x80?",), Usage(1))]
    for path in ("/embed", "/"):
        assert model.client.post(path, json={"inputs": "a"}).json() == [[1.0]]
    assert model.client.post("/v1/embed", json=EMBED).json()["embeddings"] == [[1.0]]
    by_type = model.client.post("/v1/embed", json=EMBED | {"embedding_types": ["float"]}).json()
    assert by_type["embeddings"] == {"float": [[1.0]]}
    assert model.client.post("/v2/embed", json=EMBED).json()["embeddings"] == {"float": [[1.0]]}


def test_moderations_are_the_rules_here(model: Model) -> None:
    refused = model.client.post("/v1/moderations", json={"input": "a"})
    assert refused.status_code == 404
    assert "[guards.rules]" in message_of(refused)
    rules = GuardSettings(rules={"projects": "(?i)redwood", "numbers": "[0-9]"})
    with TestClient(new_app(Settings(guards=rules)), "http://localhost") as client:
        found = client.post("/v1/moderations", json={"input": ["Redwood", "no"]}).json()["results"]
    assert [result["flagged"] for result in found] == [True, False]
    assert found[0]["categories"] == {"projects": True, "numbers": False}
    assert found[0]["category_scores"] == {"projects": 1.0, "numbers": 0.0}


def test_moderations_count_for_the_limits() -> None:
    limits = AccessSettings(tiers={"default": Tier(requests_per_minute=1)})
    settings = Settings(guards=GuardSettings(rules={"numbers": "[0-9]"}), access=limits)
    app = new_app(settings)
    with TestClient(app, "http://localhost") as client:
        answers = [client.post("/v1/moderations", json={"input": "a"}) for _ in range(2)]
        page = app.state.service.metrics.page(b"").decode()
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[0].headers["x-ratelimit-remaining-requests"] == "0"
    assert 'gateway_calls_total{model="",outcome="ok"} 1.0' in page


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "x"])
def test_a_length_of_json_that_is_none_is_the_clients_fault(model: Model, length: str) -> None:
    headers = {"inference-header-content-length": length}
    answer = model.client.post("/v2/models/llm/infer", json={"inputs": []}, headers=headers)
    assert answer.status_code == 400
    assert "inference-header-content-length" in answer.text


def test_files_count_for_the_limits_of_a_key_and_looks_do_not(tmp_path: Path) -> None:
    access = AccessSettings(tiers={"default": Tier(requests_per_minute=1)})
    settings = Settings(access=access, files=Files(folder=tmp_path))
    with TestClient(new_app(settings), "http://localhost") as client:
        form: Json = {"data": {"purpose": "assistants"}, "files": {"file": ("a.txt", b"a")}}
        first, second = (client.post("/v1/files", **form) for _ in range(2))
        assert (first.status_code, second.status_code) == (200, 429)
        assert first.headers["x-ratelimit-remaining-requests"] == "0"
        assert client.get("/v1/files").json()["data"][0]["id"] == first.json()["id"]


def test_every_route_of_files_counts_for_a_limit() -> None:
    """Looks for theirs, searches as all calls of models, and the rest as requests."""
    for module in (openai_files, openai_store_files, openai_vector_stores):
        for route in module.router.routes:
            assert isinstance(route, APIRoute)
            counted = [each.dependency for each in route.dependencies]
            if not route.path.endswith("/search"):
                expected = openai_files.looked if "GET" in route.methods else openai_files.counted
                assert counted == [expected], route.path
