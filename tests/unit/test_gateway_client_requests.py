"""Requests as published clients send them: what asks for nothing, or for less than the model does,
is taken."""

import json
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from gateway.app import new_app
from gateway.call import (
    Call,
    Embed,
    Embedded,
    Event,
    Finished,
    Generate,
    Message,
    Quote,
    Rank,
    Ranked,
    Source,
    Sources,
    Text,
    Usage,
)
from gateway.protocols.cohere_embed import EmbedRequest
from gateway.protocols.openai_vector_stores import CreateStore, SearchStore
from gateway.protocols.reading import read
from gateway.settings import Settings

Json = dict[str, Any]
RECORDED = [
    json.loads(line)
    for line in (Path(__file__).parent / "client_requests.jsonl").read_text().splitlines()
]
"""Each kind of request that a published client was seen to send, by its name and version."""

USER = {"role": "user", "content": "Which port?"}
CHAT: Json = {"model": "llm", "messages": [USER]}
MESSAGES: Json = CHAT | {"max_tokens": 8}
RESPONSES: Json = {"model": "llm", "input": "Which port?"}
FUNCTION = {"type": "function", "function": {"name": "f"}}
STORE_TOOL = {"type": "file_search", "vector_store_ids": ["vs_1"]}
QUOTE = "Vebra listens on port 8123."


@dataclass
class Model:
    """Answers every call as its kind wants it, and keeps the calls."""

    client: TestClient
    calls: list[Call] = field(default_factory=list)

    async def handle(self, call: Call) -> AsyncGenerator[Event, None]:
        self.calls.append(call)
        for event in _answer(call):
            yield event

    def generated(self, path: str, body: Json) -> Generate:
        """What the model was asked; the response must be 200."""
        answer = self.client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        wanted = self.calls[-1].request
        assert isinstance(wanted, Generate)
        return wanted


def _answer(call: Call) -> list[Event]:
    match call.request:
        case Embed(texts=texts, token_ids=rows):
            return [Embedded((b"\0\0\x80?",) * len(texts or rows), Usage(1))]
        case Rank(passages=passages):
            return [Ranked((0.0,) * len(passages), Usage(1))]
        case Generate(documents=documents):
            found = (Source(QUOTE, 0, 0.9, 2.0),) if documents else ()
            quotes = (Quote(QUOTE, QUOTE, 1),) if documents else ()
            end = Finished("stop", Usage(9, 4), citations=(0,) if documents else (), quotes=quotes)
            return [*([Sources(found)] if documents else []), Text(QUOTE, 4), end]
    raise AssertionError(call.request)


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    app = new_app(Settings())
    with TestClient(app, "http://localhost") as client:
        made = Model(client)
        app.state.service = replace(app.state.service, handler=made.handle)
        yield made


@pytest.mark.parametrize("sent", RECORDED, ids=lambda sent: f"{sent['client']} {sent['path']}")
def test_what_a_published_client_sent_is_taken(model: Model, sent: Json) -> None:
    answer = model.client.post(sent["path"], json=sent["body"])
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "asks_for_nothing",
    [
        {"logit_bias": {}, "logprobs": False},
        {"parallel_tool_calls": True, "tools": [], "tool_choice": "auto"},
        {"tools": [FUNCTION], "tool_choice": "none"},
        {"functions": [{"name": "f"}], "function_call": "none"},
        {"store": False, "metadata": {"a": "b"}, "service_tier": "auto", "user": "u"},
        {"reasoning_effort": "medium", "verbosity": "low"},
        {"reasoning": {"effort": "low"}, "include_reasoning": True, "usage": {"include": True}},
        {"thinking": {"type": "disabled"}, "enable_thinking": False},
        {"chat_template_kwargs": {"enable_thinking": False}, "random_seed": None},
        {"prompt_cache_key": "k", "safety_identifier": "s"},
        {"min_p": 0, "stop_token_ids": [], "ignore_eos": False, "skip_special_tokens": True},
        {"chat_template_kwargs": {}, "a_field_of_tomorrow": None},
        {"stream_options": {"include_usage": True, "include_obfuscation": False}},
        {"response_format": {"type": "text"}, "modalities": ["text"], "n": None},
    ],
)
def test_values_that_ask_for_nothing_change_nothing(model: Model, asks_for_nothing: Json) -> None:
    plain = model.generated("/v1/chat/completions", CHAT)
    assert model.generated("/v1/chat/completions", CHAT | asks_for_nothing) == plain


def test_null_is_the_default_of_every_field() -> None:
    """LiteLLM sends all the fields of a search, and of a vector store."""
    given = {"query": "q", "max_num_results": None, "ranking_options": {"score_threshold": None}}
    assert read(SearchStore, given) == read(SearchStore, {"query": "q", "ranking_options": {}})
    assert read(CreateStore, {"file_ids": None}) == read(CreateStore, {})
    embed = {"model": "embed", "texts": ["a"]}
    assert read(EmbedRequest, embed | {"input_type": None}) == read(EmbedRequest, embed)


@pytest.mark.parametrize(
    ("given", "meant"), [({}, "end"), ({"truncate": True}, "end"), ({"truncate": False}, "none")]
)
def test_jina_s_truncate_is_a_boolean(model: Model, given: Json, meant: str) -> None:
    body = {"model": "embed", "input": ["a"]}
    assert model.client.post("/v1/embeddings", json=body | given).status_code == 200
    wanted = model.calls[-1].request
    assert isinstance(wanted, Embed)
    assert wanted.truncate == meant


def test_jina_s_tasks_are_input_types(model: Model) -> None:
    body = {"model": "embed", "input": ["a"]}
    tasks = {"retrieval.query": "query", "retrieval.passage": "passage", "classification": "text"}
    for task, meant in tasks.items():
        assert model.client.post("/v1/embeddings", json=body | {"task": task}).status_code == 200
        wanted = model.calls[-1].request
        assert isinstance(wanted, Embed)
        assert wanted.input_type == meant
    answer = model.client.post("/v1/embeddings", json=body | {"late_chunking": True})
    assert answer.json()["error"]["param"] == "late_chunking"


@pytest.mark.parametrize(
    ("path", "more", "comes"),
    [
        ("/v1/rerank", {}, True),  # OpenRouter's and Milvus's clients of Jina's API read it
        ("/rerank", {"top_n": 1}, True),
        ("/v1/rerank", {"return_documents": False}, False),
        ("/v2/rerank", {}, False),
        ("/v2/rerank", {"return_documents": True}, True),
    ],
)
def test_ranked_documents_come_back_as_the_api_s_owner_does(
    model: Model, path: str, more: Json, comes: bool
) -> None:
    body = {"model": "rerank", "query": "q", "documents": ["a"]}
    (result,) = model.client.post(path, json=body | more).json()["results"]
    assert result.get("document") == ({"text": "a"} if comes else None)


def test_json_without_a_type_is_taken_but_not_from_a_web_page(model: Model) -> None:
    """LiteLLM embeds by Voyage's API without one; a page needs no leave to send such a body."""
    body = json.dumps({"model": "embed", "input": ["a"]}).encode()
    assert model.client.post("/v1/embeddings", content=body).status_code == 200
    page = {"origin": "https://example.com"}
    assert model.client.post("/v1/embeddings", content=body, headers=page).status_code == 400


def test_fields_that_strict_clients_need(model: Model) -> None:
    """OpenRouter's clients, for Python and npm; the penalties are Open Responses'."""
    assert model.client.post("/v1/chat/completions", json=CHAT).json()["system_fingerprint"] is None
    answer = model.client.post("/v1/responses", json=RESPONSES).json()
    assert (answer["frequency_penalty"], answer["presence_penalty"]) == (0, 0)
    begun = model.client.post("/v1/responses", json=RESPONSES | {"stream": True}).text
    assert '"completed_at":null' in begun.split("\n\n")[0]


def test_mistral_s_words_mean_openai_s(model: Model) -> None:
    mistrals = {"tools": [FUNCTION], "tool_choice": "any", "random_seed": 7}
    openais = {"tools": [FUNCTION], "tool_choice": "required", "seed": 7}
    asked = [model.generated("/v1/chat/completions", CHAT | each) for each in (mistrals, openais)]
    assert asked[0] == asked[1]
    assert asked[0].sampling.seed == 7


def test_openrouter_s_way_to_ask_for_the_usage_of_a_stream(model: Model) -> None:
    body = CHAT | {"stream": True, "usage": {"include": True}}
    assert '"usage":' in model.client.post("/v1/chat/completions", json=body).text


def test_top_k_of_minus_one_is_all_tokens(model: Model) -> None:
    assert model.generated("/v1/chat/completions", CHAT | {"top_k": -1}).sampling.top_k == 0


@pytest.mark.parametrize(
    ("sent", "least_s", "most_s"),
    [
        ({"x-stainless-read-timeout": "600.0"}, 595, 600),
        ({"x-stainless-timeout": "20"}, 15, 21),  # JavaScript's, which cuts 20.9 s
        ({"x-stainless-timeout": "NOT_GIVEN", "x-stainless-read-timeout": "600"}, 595, 600),
        ({"x-stainless-timeout": "20", "x-request-timeout-ms": "90000"}, 85, 90),
    ],
)
def test_the_sdks_own_timeouts_are_deadlines(
    model: Model, sent: dict[str, str], least_s: float, most_s: float
) -> None:
    model.client.post("/v1/chat/completions", json=CHAT, headers=sent)
    deadline = model.calls[-1].deadline
    assert deadline is not None
    assert least_s < deadline - time.monotonic() <= most_s


def test_an_answer_that_ignores_its_end_has_all_its_tokens(model: Model) -> None:
    """As load generators of vLLM's world (GuideLLM) ask for answers of one length."""
    body = CHAT | {"ignore_eos": True, "max_completion_tokens": 8}
    found = model.generated("/v1/chat/completions", body).sampling
    assert (found.min_tokens, found.max_tokens) == (8, 8)


def test_an_assistant_that_said_nothing_stays_in_the_chat(model: Model) -> None:
    turns = [USER, {"role": "assistant", "content": None}, USER]
    found = model.generated("/v1/chat/completions", CHAT | {"messages": turns})
    assert found.messages[1] == Message("assistant", "")


TWO_TEXTS = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
OF_ROLES = [USER, *({"role": role, "content": TWO_TEXTS} for role in ("assistant", "user"))]


@pytest.mark.parametrize(
    ("path", "more"),
    [("/v1/chat/completions", {}), ("/v1/messages", {"max_tokens": 8}), ("/v2/chat", {})],
)
def test_parts_are_lines_but_of_an_answer_one_text(model: Model, path: str, more: Json) -> None:
    """Agents send a file, and then a question, as two parts; an answer comes in cited pieces."""
    found = model.generated(path, CHAT | {"messages": OF_ROLES} | more)
    assert [turn.content for turn in found.messages[1:]] == ["ab", "a\nb"]


def test_parts_of_a_response_s_input_are_lines(model: Model) -> None:
    turn = {"role": "user", "content": [_input("a"), _input("b")]}
    found = model.generated("/v1/responses", RESPONSES | {"input": [turn]})
    assert [turn.content for turn in found.messages] == ["a\nb"]


def test_what_codex_sends_beside_its_tools_is_taken(model: Model) -> None:
    body = {
        "model": "llm",
        "instructions": "You are a coding agent.",
        "input": [{"type": "message", "role": "user", "content": [_input("Which port?")]}],
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "k",
        "text": {"verbosity": "medium"},
    }
    assert model.generated("/v1/responses", body).messages == (
        Message("system", "You are a coding agent."),
        Message("user", "Which port?"),
    )


def _input(text: str) -> Json:
    return {"type": "input_text", "text": text}


def test_an_answer_s_output_can_be_sent_back_with_its_search(model: Model) -> None:
    items = [
        USER,
        {"type": "file_search_call", "id": "fs_1", "queries": ["q"], "status": "completed"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
        USER,
    ]
    found = model.generated("/v1/responses", RESPONSES | {"input": items})
    assert [turn.content for turn in found.messages] == ["Which port?", "a", "Which port?"]


def test_no_search_where_no_tool_may_be_called(model: Model) -> None:
    body = RESPONSES | {"tools": [STORE_TOOL], "tool_choice": "none"}
    answer = model.client.post("/v1/responses", json=body).json()
    assert [item["type"] for item in answer["output"]] == ["message"]
    wanted = model.calls[-1].request
    assert isinstance(wanted, Generate)
    assert wanted.collection is None


def test_what_claude_code_sends_beside_its_tools_is_taken(model: Model) -> None:
    cached = {"cache_control": {"type": "ephemeral"}}
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    body = MESSAGES | {
        "system": [{"type": "text", "text": "You are Claude Code.", **cached}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hello", **cached}]},
            {"role": "assistant", "content": [thought, {"type": "text", "text": "Hi."}]},
            USER,
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "none"},
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "medium"},
        "metadata": {"user_id": "u"},
        "temperature": 1,
        "stream": True,
    }
    assert [turn.content for turn in model.generated("/v1/messages", body).messages] == [
        "You are Claude Code.",
        "hello",
        "Hi.",
        "Which port?",
    ]


def test_a_text_block_without_citations_has_no_such_field(model: Model) -> None:
    """Vercel's AI SDK refuses `"citations": null`."""
    (block,) = model.client.post("/v1/messages", json=MESSAGES).json()["content"]
    assert block == {"type": "text", "text": QUOTE}
    streamed = model.client.post("/v1/messages", json=MESSAGES | {"stream": True}).text
    assert '"citations"' not in streamed


CHAT_V1: Json = {
    "model": "rag",
    "message": "Which port?",
    "preamble": "Be brief.",
    "chat_history": [{"role": "USER", "message": "a"}, {"role": "CHATBOT", "message": "b"}],
    "documents": [{"id": "7", "text": QUOTE}],
}


def test_cohere_s_older_chat_is_the_newer_one(model: Model) -> None:
    answer = model.client.post("/v1/chat", json=CHAT_V1).json()
    wanted = model.calls[-1].request
    assert isinstance(wanted, Generate)
    assert [(turn.role, turn.content) for turn in wanted.messages] == [
        ("system", "Be brief."),
        ("user", "a"),
        ("assistant", "b"),
        ("user", "Which port?"),
    ]
    assert answer["text"] == QUOTE
    assert answer["finish_reason"] == "COMPLETE"
    cited = {"start": 0, "end": len(QUOTE), "text": QUOTE, "document_ids": ["7"]}
    assert answer["citations"] == [cited]
    assert answer["documents"] == [{"id": "7", "text": QUOTE}]


def test_cohere_s_older_stream_is_lines_of_json(model: Model) -> None:
    answer = model.client.post("/v1/chat", json=CHAT_V1 | {"stream": True})
    events = [json.loads(line) for line in answer.text.splitlines()]
    assert [event["event_type"] for event in events] == [
        "stream-start",
        "text-generation",
        "citation-generation",
        "stream-end",
    ]
    assert [event["is_finished"] for event in events] == [False, False, False, True]
    assert events[-1]["response"]["text"] == QUOTE


def test_similarity_is_the_cosine_with_each_sentence(model: Model) -> None:
    body = {"inputs": {"source_sentence": "a", "sentences": ["b", "c"]}}
    for path in ("/similarity", "/"):  # Hugging Face's clients ask at the address that they get
        assert model.client.post(path, json=body).json() == [1.0, 1.0]
