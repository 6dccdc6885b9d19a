"""Published clients of other APIs than OpenAI's chat, unchanged, against the gateway."""

import re
import subprocess
from typing import Any

import pytest

from builders.spec import ROOT
from tests.server.conftest import BOUND_S, Server, text
from tests.server.gateway import Gateway
from tests.server.test_published_clients import PROMPT, PYTHON, ask

Found = dict[str, Any]
QUOTE = "Vebra listens on port 8123."
CONTEXT_TOKENS = 2048
"""The test model's."""


@pytest.fixture(scope="module")
def anthropic(gateway: Gateway) -> Found:
    return ask("ask_with_anthropic.py", gateway.url)


@pytest.fixture(scope="module")
def responses(gateway: Gateway) -> Found:
    return ask("respond_with_openai.py", gateway.url)


@pytest.fixture(scope="module")
def cohere(gateway: Gateway) -> Found:
    return ask("ask_with_cohere.py", gateway.url)


@pytest.fixture(scope="module")
def embedding(server: Server) -> Any:
    """What the model itself gives for the prompt."""
    found = server.infer("embed", text("input_text", PROMPT)).as_numpy("embedding")[0]
    return pytest.approx(list(found), abs=1e-5)


def test_anthropic_messages(anthropic: Found) -> None:
    plain, streamed = anthropic["plain"], anthropic["streamed"]
    assert streamed.pop("pieces") == plain["text"] != ""
    assert plain == streamed == anthropic["streamed_async"]
    assert plain["reason"] in ("end_turn", "max_tokens")
    assert anthropic["counted"] == plain["usage"][0]
    assert anthropic["whole"]["usage"][0] > plain["usage"][0]  # it has a system prompt


def test_anthropic_s_max_tokens_may_be_more_than_fit(anthropic: Found) -> None:
    filled = anthropic["filled"]
    assert filled["reason"] == "model_context_window_exceeded"
    assert sum(filled["usage"]) == CONTEXT_TOKENS


def test_anthropic_citations_point_into_the_documents(anthropic: Found) -> None:
    assert anthropic["citations"] == [{"cited": QUOTE, "found": QUOTE, "title": "page 1"}]


def test_models_as_each_client_reads_them(anthropic: Found, cohere: Found) -> None:
    assert anthropic["models"] == ["llm", "rag", "embed", "rerank"]
    assert anthropic["model"] == "llm"
    does = ["chat", "chat", "embed", "rerank"]
    assert cohere["models"] == [[n, [e]] for n, e in zip(anthropic["models"], does, strict=True)]
    assert len(anthropic["request_id"]) == 32


def test_anthropic_refusals(anthropic: Found) -> None:
    no_model, tools = anthropic["no_model"], anthropic["tools"]
    assert no_model["kind"] == "NotFoundError"
    assert "possible: llm, rag" in no_model["body"]["error"]["message"]
    assert (tools["kind"], tools["body"]["error"]["type"]) == (
        "BadRequestError",
        "invalid_request_error",
    )


def test_openai_responses(responses: Found, anthropic: Found) -> None:
    whole, streamed = responses["whole"], responses["streamed"]
    assert streamed.pop("pieces") == whole["text"] == anthropic["plain"]["text"]
    assert whole == streamed == responses["streamed_async"]
    assert whole["usage"] == anthropic["plain"]["usage"]
    assert responses["second_turn"] > whole["usage"][0]
    assert [found["file_id"] for found in responses["annotations"]] == ["doc:1"]


def test_openai_responses_refusals(responses: Found) -> None:
    no_model, memory = responses["no_model"], responses["memory"]
    assert (no_model["kind"], no_model["param"]) == ("NotFoundError", "model")
    assert (memory["kind"], memory["param"]) == ("BadRequestError", "previous_response_id")
    assert "nothing is stored" in memory["message"]


def test_cohere_chat(cohere: Found, anthropic: Found) -> None:
    assert cohere["whole"] == cohere["streamed"]
    assert cohere["whole"]["text"] == cohere["whole_async"] == anthropic["plain"]["text"]
    assert cohere["rag"] == cohere["rag_streamed"]
    assert cohere["rag"]["cited"] == ["page-1"]
    assert cohere["no_model"]["kind"] == "NotFoundError"
    assert cohere["tools"]["body"]["message"].startswith("tools.0.function.name: ")


def test_cohere_s_older_client_gets_the_same(cohere: Found, embedding: Any) -> None:
    older = cohere["older"]
    assert older["text"] == older["pieces"] == cohere["whole"]["text"]
    assert older["rag"] == cohere["rag"]["text"]
    assert older["cited"] == cohere["rag"]["cited"]
    assert older["embedded"] == embedding


def test_cohere_embed_and_rerank(cohere: Found, embedding: Any) -> None:
    assert cohere["embedded"] == embedding
    assert cohere["ranked"] == [1, 0]


def test_rerankers_in_the_shapes_of_cohere_jina_and_tei(gateway: Gateway) -> None:
    found = ask("rank_with_rerankers.py", gateway.url)
    assert {api: ranked["order"][0] for api, ranked in found.items()} == {
        "cohere": 1,
        "jina": 1,
        "text-embeddings-inference": 1,
    }
    assert found["cohere"] == found["jina"] == found["text-embeddings-inference"]


def test_litellm(gateway: Gateway, anthropic: Found, embedding: Any) -> None:
    found = ask("ask_gateway_with_litellm.py", gateway.url)
    answer = anthropic["plain"]["text"]
    assert found["whole"] == [answer] * 3
    assert found["streamed"] == [answer] * 2
    assert found["whole_async"] == answer
    assert found["ranked"] == [[1, 0]] * 2
    assert found["embedded"] == embedding


def test_nvidia_s_langchain_and_haystack(
    gateway: Gateway, anthropic: Found, embedding: Any
) -> None:
    found = ask("ask_with_nvidia_clients.py", gateway.url)
    langchain, haystack = found["langchain"], found["haystack"]
    answer = anthropic["plain"]["text"]
    assert langchain["models"] == ["llm", "rag", "embed", "rerank"]
    assert langchain["whole"] == langchain["streamed"] == langchain["whole_async"] == answer
    assert langchain["usage"] == anthropic["plain"]["usage"][1]
    assert langchain["query"] == langchain["passages"] == haystack["query"] == embedding
    assert langchain["order"][0] == haystack["order"][0] == 1


# --- docs/clients.md -------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    page = (ROOT / "docs/clients.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def run_together(pasted: list[str], gateway: Gateway) -> None:
    """Each block in a function of its own, in one process: imports take the longest."""
    bodies = [block.replace("http://localhost:8080", gateway.url) for block in pasted]
    script = "\n".join(f"exec({body!r}, {{}})" for body in bodies)
    done = subprocess.run(
        [PYTHON, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=BOUND_S,
        env={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HAYSTACK_TELEMETRY_ENABLED": "False"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.splitlines()) >= len(pasted)


def test_documented_lines_run(gateway: Gateway) -> None:
    pasted = blocks("python")
    assert {len(block.splitlines()) for block in pasted} == {3}
    assert len(pasted) >= 6
    run_together(pasted, gateway)


def test_documented_shell_lines_run(gateway: Gateway) -> None:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    assert len(lines) >= 5
    for line in lines:
        pasted = line.replace("localhost:8080", gateway.url.removeprefix("http://"))
        done = subprocess.run(
            pasted, shell=True, capture_output=True, text=True, check=False, timeout=BOUND_S
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
        assert '"error"' not in done.stdout
