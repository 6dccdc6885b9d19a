"""Streams through the gateway end as they should: with their client, their model, their server."""

import contextlib
import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from ensembles.metrics import GATEWAY_HELD, GATEWAY_RUNNING, GATEWAY_WAITING, Metric
from tests.server.cancellation import standing_still, stopped_early
from tests.server.conftest import BOUND_S, Server, eventually, is_idle
from tests.server.gateway import Gateway, running_gateway

TOKENS = 2000
LONG = {
    "model": "llm",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": TOKENS,
    "min_tokens": TOKENS,
    "stream": True,
}
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def impatient(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that takes a model for dead after a second of silence."""
    settings = "[triton]\ninter_token_timeout_s = 1.0\n"
    folder = tmp_path_factory.mktemp("impatient")
    with running_gateway(server.ports, folder, settings) as running:
        yield running


@contextlib.contextmanager
def begun(gateway: Gateway) -> Iterator[Iterator[str]]:
    """Lines of a long stream after its first one."""
    with gateway.client.stream("POST", CHAT, json=LONG) as response:
        lines = response.iter_lines()
        assert next(lines).startswith("data: ")
        yield lines


@contextlib.contextmanager
def sent(url: str, path: str, body: dict[str, object]) -> Iterator[None]:
    """A request whose answer nobody reads, until the block ends."""
    at, content = urlsplit(url), json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    with socket.create_connection((at.hostname, at.port)) as client:
        client.sendall(head.encode() + b"content-length: %d\r\n\r\n" % len(content) + content)
        yield


def test_a_stream_ends_with_its_client(gateway: Gateway, server: Server) -> None:
    with stopped_early(server, TOKENS), begun(gateway):
        pass


def test_an_answer_without_stream_ends_with_its_client(gateway: Gateway, server: Server) -> None:
    with stopped_early(server, TOKENS), sent(gateway.url, CHAT, LONG | {"stream": False}):
        assert eventually(lambda: not is_idle(server))


def test_a_silent_model_ends_a_stream_with_an_error(impatient: Gateway, server: Server) -> None:
    with begun(impatient) as lines, standing_still(server, "llm"):
        *_, last = [line for line in lines if line]
    error = json.loads(last.removeprefix("data: "))["error"]
    assert (error["code"], "nothing came from the model" in error["message"]) == ("timeout", True)
    assert eventually(lambda: is_idle(server))


def test_what_the_model_has_no_room_for_waits_in_the_gateway(
    gateway: Gateway, server: Server
) -> None:
    """Others fill `llm`, whose own queue is first come, first served."""
    generate = "/v2/models/llm/generate_stream"
    asked = {"text_input": "hello", "max_tokens": TOKENS, "min_tokens": TOKENS, "stream": True}

    def shows(metric: Metric, value: float) -> bool:
        series = f'{metric.name}{{kind="generating"}} {value}'
        return series in gateway.client.get("/metrics").text

    with contextlib.ExitStack() as requests:
        for _ in range(64):
            requests.enter_context(sent(f"http://{server.http_url}", generate, asked))
        requests.enter_context(sent(gateway.url, CHAT, LONG))
        assert eventually(lambda: shows(GATEWAY_HELD, 1.0))
        requests.enter_context(sent(gateway.url, CHAT, LONG))
        assert eventually(lambda: shows(GATEWAY_WAITING, 1.0))
        assert shows(GATEWAY_RUNNING, 1.0)
    assert eventually(lambda: is_idle(server))
    assert eventually(lambda: shows(GATEWAY_HELD, 0.0))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_gateway_that_ends_finishes_its_streams(
    server: Server, tmp_path: Path, number: signal.Signals, request: pytest.FixtureRequest
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` may have started the tests
    request.addfinalizer(lambda: signal.signal(signal.SIGHUP, before))
    with running_gateway(server.ports, tmp_path) as ending:
        with begun(ending) as lines:
            ending.process.send_signal(number)
            *_, last = [line for line in lines if line]
        assert last == "data: [DONE]"
        assert ending.process.wait(BOUND_S) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{ending.url}/livez")
