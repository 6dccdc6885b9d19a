"""Every API's requests become the same calls, and their responses say what the events said."""

import asyncio
import base64
import struct
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.call import (
    Document,
    Embed,
    Embedded,
    Event,
    Finished,
    Generate,
    Message,
    Quote,
    Ranked,
    Sampling,
    Source,
    Sources,
    Text,
    Usage,
)
from gateway.errors import UpstreamFailed
from gateway.protocols import (
    anthropic_answer,
    anthropic_messages,
    cohere_chat,
    cohere_embed,
    cohere_rerank,
    nim_ranking,
    openai_chat,
    openai_embeddings,
    openai_responses_answer,
    openai_responses_request,
    openai_responses_stream,
    tei,
)
from gateway.protocols.answer import Answer, Citation, Span, citations, collect
from gateway.protocols.documents import read_documents
from gateway.protocols.encoders import by_relevance, probability

Json = dict[str, Any]

messages_request = anthropic_messages.MessagesRequest.model_validate
count_request = anthropic_messages.CountRequest.model_validate
chat_request = cohere_chat.ChatRequest.model_validate
embed_request = cohere_embed.EmbedRequest.model_validate
rerank_request = cohere_rerank.RerankRequest.model_validate
ranking_request = nim_ranking.RankingRequest.model_validate
responses_request = openai_responses_request.ResponsesRequest.model_validate
tei_rerank_request = tei.RerankRequest.model_validate
tei_embed_request = tei.EmbedRequest.model_validate

USAGE = Usage(input_tokens=9, output_tokens=3, cached_tokens=4)
DOCUMENTS = ("The ferry sails at noon.", "Vebra listens on\nport 8123. It is old.")
ANSWER: list[Event] = [
    Sources((Source("Vebra listens on port 8123.", 1, 0.9, 2.0),)),
    Text("Vebra listens", 2),
    Text(" on port 8123.", 1),
    Finished(
        "stop",
        USAGE,
        citations=(1,),
        quotes=(Quote("Vebra listens on port 8123.", "Vebra listens on port 8123.", 1),),
    ),
]
TEXT = "Vebra listens on port 8123."
QUESTION = [{"role": "user", "content": "Which port?"}]


async def _feed(events: list[Event]) -> AsyncGenerator[Event, None]:
    for event in events:
        yield event


def whole(events: list[Event]) -> Answer:
    return asyncio.run(collect(_feed(events)))


def streamed(stream: AsyncGenerator[Json, None]) -> list[Json]:
    async def gather() -> list[Json]:
        return [event async for event in stream]

    return asyncio.run(gather())


# --- answers and citations -----------------------------------------------------------------


def test_an_answer_that_breaks_off_is_no_answer() -> None:
    with pytest.raises(UpstreamFailed, match="without its last part"):
        whole(ANSWER[:-1])


def test_a_stopped_generation_is_a_failure() -> None:
    with pytest.raises(UpstreamFailed, match="stopped"):
        whole([Text("a", 1), Finished("cancelled", USAGE)])


def test_citations_stand_in_answer_and_document() -> None:
    documents = [Document(text) for text in DOCUMENTS]
    assert citations(whole(ANSWER), documents) == [
        Citation(TEXT, TEXT, document=1, statement_span=Span(0, 27), quote_span=Span(0, 27))
    ]


def test_a_citation_of_a_source_that_is_not_there_is_left_out() -> None:
    quotes = (Quote("a", "b", 2),)
    events: list[Event] = [ANSWER[0], Text("a", 1), Finished("stop", USAGE, quotes=quotes)]
    assert not citations(whole(events), [Document(text) for text in DOCUMENTS])


# --- Anthropic -----------------------------------------------------------------------------

MESSAGES: Json = {"model": "llm", "max_tokens": 8, "messages": QUESTION}


def test_a_messages_request_becomes_a_call() -> None:
    body = MESSAGES | {
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            *QUESTION,
            {"role": "assistant", "content": [{"type": "text", "text": "8123"}]},
            {"role": "user", "content": [{"type": "text", "text": "Sure?", "cache_control": {}}]},
        ],
        "temperature": 0,
        "top_k": 5,
        "stop_sequences": ["\n"],
        "metadata": {"user_id": "u"},
    }
    assert anthropic_messages.generate(messages_request(body)) == Generate(
        model="llm",
        messages=(
            Message("system", "Be brief."),
            Message("user", "Which port?"),
            Message("assistant", "8123"),
            Message("user", "Sure?"),
        ),
        may_fill_context=True,
        sampling=Sampling(max_tokens=8, temperature=0, top_k=5, stop_words=("\n",)),
    )


def with_documents(**citations_option: bool) -> Json:
    source = {"type": "text", "media_type": "text/plain"}
    parts: list[Json] = [
        {
            "type": "document",
            "source": source | {"data": text},
            "title": f"page {index}",
            "citations": citations_option,
        }
        for index, text in enumerate(DOCUMENTS)
    ]
    content = [*parts, {"type": "text", "text": "Which port?"}]
    return MESSAGES | {"messages": [{"role": "user", "content": content}]}


def test_documents_in_a_message_are_answered_from() -> None:
    call = anthropic_messages.generate(messages_request(with_documents(enabled=True)))
    assert call.messages == (Message("user", "Which port?"),)
    assert [document.text for document in call.documents] == list(DOCUMENTS)


def test_citations_are_character_spans_of_the_documents() -> None:
    request = messages_request(with_documents(enabled=True))
    message = anthropic_answer.response(request, "1", whole(ANSWER))
    (cited,) = message["content"][0]["citations"]
    document = DOCUMENTS[cited["document_index"]]
    assert document[cited["start_char_index"] : cited["end_char_index"]] == cited["cited_text"]
    assert cited["document_title"] == "page 1"


def test_documents_without_citations_are_not_cited() -> None:
    request = messages_request(with_documents(enabled=False))
    message = anthropic_answer.response(request, "1", whole(ANSWER))
    assert "citations" not in message["content"][0]


def test_a_message_stream_adds_up_to_the_message() -> None:
    request = messages_request(with_documents(enabled=True))
    message = anthropic_answer.response(request, "1", whole(ANSWER))
    events = streamed(anthropic_answer.stream(request, "1", _feed(ANSWER)))
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    built: Json = dict(events[0]["message"])
    block: Json = dict(events[1]["content_block"])
    for event in events[2:5]:
        block["text"] += event["delta"].get("text", "")
        if "citation" in event["delta"]:
            block["citations"] = [*block.get("citations", []), event["delta"]["citation"]]
    built |= events[6]["delta"] | {"usage": events[6]["usage"], "content": [block]}
    assert built == message


def test_anthropic_counts_cached_tokens_apart() -> None:
    message = anthropic_answer.response(messages_request(MESSAGES), "1", whole(ANSWER))
    assert message["usage"]["input_tokens"] == 5
    assert message["usage"]["cache_read_input_tokens"] == 4


def test_counting_asks_the_model_for_one_token() -> None:
    body = {key: value for key, value in MESSAGES.items() if key != "max_tokens"}
    call = anthropic_messages.counting(count_request(body))
    assert call.sampling == Sampling(max_tokens=1)
    assert anthropic_answer.count_response("1", whole(ANSWER)) == {"input_tokens": 9}


# --- Cohere --------------------------------------------------------------------------------

CHAT: Json = {"model": "rag", "messages": QUESTION}


def test_a_cohere_chat_becomes_a_call() -> None:
    body = CHAT | {
        "documents": [DOCUMENTS[0], {"id": "b", "data": {"title": "t", "snippet": DOCUMENTS[1]}}],
        "k": 3,
        "p": 0.5,
        "max_tokens": 7,
        "seed": 1,
        "stop_sequences": ["x"],
        "safety_mode": "CONTEXTUAL",
    }
    assert cohere_chat.generate(chat_request(body)) == Generate(
        model="rag",
        messages=(Message("user", "Which port?"),),
        sampling=Sampling(max_tokens=7, top_k=3, top_p=0.5, seed=1, stop_words=("x",)),
        documents=(Document(DOCUMENTS[0]), Document(DOCUMENTS[1], title="t", id="b")),
    )


def test_a_cohere_answer_cites_its_documents() -> None:
    request = chat_request(CHAT | {"documents": list(DOCUMENTS)})
    found = cohere_chat.response(request, "1", whole(ANSWER))
    (cited,) = found["message"]["citations"]
    assert TEXT[cited["start"] : cited["end"]] == cited["text"]
    assert cited["sources"] == [
        {"type": "document", "id": "doc:1", "document": {"text": DOCUMENTS[1], "id": "doc:1"}}
    ]
    assert found["finish_reason"] == "COMPLETE"


def test_a_cohere_stream_adds_up_to_the_answer() -> None:
    request = chat_request(CHAT | {"documents": list(DOCUMENTS)})
    found = cohere_chat.response(request, "1", whole(ANSWER))
    events = streamed(cohere_chat.stream(request, "1", _feed(ANSWER)))
    deltas = [
        e["delta"]["message"]["content"]["text"] for e in events if "content-delta" in e["type"]
    ]
    assert "".join(deltas) == found["message"]["content"][0]["text"]
    cited = [e["delta"]["message"]["citations"] for e in events if e["type"] == "citation-start"]
    assert cited == found["message"]["citations"]
    assert events[-1]["delta"] == {
        "finish_reason": found["finish_reason"],
        "usage": found["usage"],
    }


def test_citations_can_be_switched_off() -> None:
    request = chat_request(
        CHAT | {"documents": list(DOCUMENTS), "citation_options": {"mode": "OFF"}}
    )
    assert "citations" not in cohere_chat.response(request, "1", whole(ANSWER))["message"]


def test_documents_are_read_in_every_shape() -> None:
    shapes: list[str | Json] = [
        "a",
        {"text": "a"},
        {"data": {"text": "a"}},
        {"data": "a"},
        {"data": {"content": "a"}},
    ]
    assert {document.text for document in read_documents(shapes)} == {"a"}
    assert read_documents([{"data": {"city": "Ombra", "year": "2021"}}])[0].text == (
        "city: Ombra\nyear: 2021"
    )


def test_a_cohere_embedding_is_float_or_base64() -> None:
    row = struct.pack("<2f", 0.5, -1)
    body = {"model": "embed", "input_type": "search_query", "texts": ["a"]}
    request = embed_request(body | {"embedding_types": ["float", "base64"]})
    assert cohere_embed.embed(request) == Embed("embed", texts=("a",), input_type="query")
    found = cohere_embed.response(request, "1", Embedded((row,), USAGE))
    assert found["embeddings"]["float"] == [[0.5, -1]]
    assert base64.b64decode(found["embeddings"]["base64"][0]) == row


# --- rank ----------------------------------------------------------------------------------

RANKED = Ranked((-1.0, 3.0, 0.0), USAGE)
PASSAGES = ["a", "b", "c"]


def test_cohere_and_jina_get_scores_best_first() -> None:
    body = {"model": "rerank", "query": "q", "documents": ["a", {"text": "b"}, "c"], "top_n": 2}
    request = rerank_request(body | {"return_documents": True})
    assert cohere_rerank.rank(request).passages == ("a", "b", "c")
    results = cohere_rerank.response(request, "1", RANKED)["results"]
    assert [(r["index"], r["document"]["text"]) for r in results] == [(1, "b"), (2, "c")]
    assert results[1]["relevance_score"] == 0.5


def test_nim_gets_logits_best_first() -> None:
    body = {"model": "r", "query": {"text": "q"}, "passages": [{"text": p} for p in PASSAGES]}
    request = ranking_request(body | {"truncate": "NONE"})
    assert nim_ranking.rank(request).truncate == "none"
    assert nim_ranking.response("1", RANKED)["rankings"] == [
        {"index": 1, "logit": 3.0},
        {"index": 2, "logit": 0.0},
        {"index": 0, "logit": -1.0},
    ]


def test_tei_scores_are_probabilities_unless_raw() -> None:
    body = {"query": "q", "texts": PASSAGES, "return_text": True}
    request = tei_rerank_request(body)
    assert tei.rank(request).model == "rerank"
    assert tei.rerank_response(request, "1", RANKED)[1] == {"index": 2, "score": 0.5, "text": "c"}
    raw = tei.rerank_response(tei_rerank_request(body | {"raw_scores": True}), "1", RANKED)
    assert [found["score"] for found in raw] == [3.0, 0.0, -1.0]


def test_jina_s_embeddings_have_length_one_if_asked() -> None:
    body = {"model": "embed", "input": "a"}
    row = Embedded((struct.pack("<2f", 3, -4),), USAGE)
    for more, found in (({}, [3, -4]), ({"normalized": True}, pytest.approx([0.6, -0.8]))):
        request = openai_embeddings.parse(body | more)
        assert openai_embeddings.response(request, "1", row)["data"][0]["embedding"] == found


def test_tei_embeddings_have_length_one_unless_asked() -> None:
    embedded = Embedded((struct.pack("<2f", 3, 4),), USAGE)
    request = tei_embed_request({"inputs": "a"})
    assert tei.embed(request) == Embed("embed", texts=("a",))
    assert tei.embed_response(request, "1", embedded) == [[0.6, 0.8]]
    plain = tei_embed_request({"inputs": ["a"], "normalize": False})
    assert tei.embed_response(plain, "1", embedded) == [[3.0, 4.0]]


def test_tei_takes_token_ids() -> None:
    assert tei.embed(tei_embed_request({"inputs": [[1, 2]]})).token_ids == ((1, 2),)


@given(st.lists(st.floats(allow_nan=False)), st.integers(1, 9))
def test_the_best_come_first_and_none_is_lost(logits: list[float], top_n: int) -> None:
    ordered = by_relevance(logits)
    assert sorted(index for index, _ in ordered) == list(range(len(logits)))
    assert [logit for _, logit in ordered] == sorted(logits, reverse=True)
    assert by_relevance(logits, top_n) == ordered[:top_n]
    assert all(0 <= probability(logit) <= 1 for logit in logits)


# --- Responses -----------------------------------------------------------------------------

RESPONSES: Json = {"model": "llm", "input": "Which port?"}


def test_a_responses_request_becomes_a_call() -> None:
    body = RESPONSES | {
        "instructions": "Be brief.",
        "input": [
            {"role": "developer", "content": "English."},
            {"role": "user", "content": [{"type": "input_text", "text": "Which port?"}]},
        ],
        "max_output_tokens": 5,
        "temperature": 0.0,
    }
    assert openai_responses_request.generate(responses_request(body)) == Generate(
        model="llm",
        messages=(
            Message("system", "Be brief."),
            Message("system", "English."),
            Message("user", "Which port?"),
        ),
        sampling=Sampling(max_tokens=5, temperature=0),
    )


def test_a_response_can_be_sent_back() -> None:
    request = responses_request(RESPONSES)
    output = openai_responses_answer.response(request, "1", whole(ANSWER))["output"]
    again = responses_request(RESPONSES | {"input": [*QUESTION, *output]})
    assert openai_responses_request.generate(again).messages[-1] == Message("assistant", TEXT)


def test_a_refusal_among_the_assistant_s_parts_is_its_text() -> None:
    part = {"type": "refusal", "refusal": "I can't."}
    turns = [*QUESTION, {"role": "assistant", "content": [part]}, *QUESTION]
    chat = openai_chat.generate(openai_chat.parse({"model": "llm", "messages": turns}))
    respond = openai_responses_request.generate(responses_request(RESPONSES | {"input": turns}))
    assert chat.messages[1] == respond.messages[-2] == Message("assistant", "I can't.")


def test_a_response_stream_is_numbered_and_ends_with_the_response() -> None:
    request = responses_request(RESPONSES | {"documents": list(DOCUMENTS)})
    events = streamed(openai_responses_stream.stream(request, "1", _feed(ANSWER)))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    deltas = [event["delta"] for event in events if event["type"].endswith("text.delta")]
    assert "".join(deltas) == TEXT
    last = events[-1]
    assert last["type"] == "response.completed"
    (part,) = last["response"]["output"][0]["content"]
    assert part["text"] == TEXT
    assert [(a["file_id"], a["index"]) for a in part["annotations"]] == [("doc:1", 27)]


def test_a_cut_response_says_so() -> None:
    events: list[Event] = [Text("a", 1), Finished("length", USAGE)]
    found = openai_responses_answer.response(responses_request(RESPONSES), "1", whole(events))
    assert found["status"] == "incomplete"
    assert found["incomplete_details"] == {"reason": "max_output_tokens"}
