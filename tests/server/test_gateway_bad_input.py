"""What breaks other servers is refused in the words of its API, and neighbours don't notice."""

import contextlib
import gzip
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from gateway.app import new_app
from gateway.bounds import CONTAINERS
from gateway.client_connection import HEADER_BYTES
from gateway.settings import Settings
from tests.fakes.api_errors import is_worded
from tests.server.cancellation import cancelled
from tests.server.conftest import BOUND_S, Server, eventually, is_idle
from tests.server.gateway import Gateway, running_gateway

CHAT = "/v1/chat/completions"
QUESTION = [{"role": "user", "content": "hello"}]
BODY = {"model": "llm", "messages": QUESTION, "max_tokens": 5}
PATHS = [
    path
    for path, methods in new_app(Settings()).openapi()["paths"].items()
    if "requestBody" in methods.get("post", {})
]
RAW: dict[str, tuple[bytes, dict[str, str]]] = {
    "cut off": (b'{"model": ', {}),
    "empty": (b"", {}),
    "nested": (b"[" * 100_000, {}),
    "nested inside": (b'{"model":' + b"[" * 900 + b"]" * 900 + b"}", {}),
    "half of a surrogate pair": (b'{"model": "\\ud800"}', {}),
    "not UTF-8": (b'{"model": "\xff"}', {}),
    "not a number": (b'{"model": NaN}', {}),
    "many lists": (b'{"input": [' + b"[]," * CONTAINERS + b"[]]}", {}),
    "a list": (b"[]", {}),
    "a text": (b'"hello"', {}),
    "another type": (json.dumps(BODY).encode(), {"content-type": "text/plain"}),
    "a form": (b"model=llm", {"content-type": "application/x-www-form-urlencoded"}),
    "a gzip bomb": (gzip.compress(b"0" * 10**7), {"content-encoding": "gzip"}),
}


@pytest.mark.parametrize("name", RAW)
def test_no_route_takes_what_is_no_json_object(gateway: Gateway, name: str) -> None:
    content, headers = RAW[name]
    headers = {"content-type": "application/json"} | headers
    for path in PATHS:
        answer = gateway.client.post(path, content=content, headers=headers)
        assert answer.status_code in (400, 413, 415), (path, answer.text)
        assert is_worded(path, answer.json()), (path, answer.text)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (CHAT, BODY | {"max_tokens": 2**40}, "max_tokens: "),
    (CHAT, BODY | {"top_k": 2**40}, "top_k: "),
    (CHAT, BODY | {"seed": -1}, "seed: "),
    (CHAT, BODY | {"messages": QUESTION * 10_000}, "messages: 10000 given"),
    ("/v1/messages", BODY | {"messages": QUESTION * 10_000}, "messages: 10000 given"),
    ("/v1/messages", BODY | {"stop_sequences": ["a"] * 1000}, "stop_sequences: "),
    ("/v1/responses", {"model": "llm", "input": QUESTION * 10_000}, "messages: 10000 given"),
    ("/v2/chat", BODY | {"messages": QUESTION * 10_000}, "messages: 10000 given"),
    ("/v2/chat", BODY | {"stop_sequences": ["a"] * 1000}, "stop_sequences: "),
    ("/v2/rerank", {"model": "rerank", "query": "a", "documents": ["b", ""]}, "documents[1]: "),
    ("/v2/embed", {"model": "embed", "input_type": "clustering", "texts": [""]}, "texts[0]: "),
    ("/rerank", {"query": "a" * 100_000, "texts": ["b"]}, "query: "),
    ("/embed", {"inputs": [[1] * 100_000]}, "inputs: "),
    ("/embed", {"inputs": [[1, -1]]}, "inputs: token -1 given; from 0 to "),
    (
        "/v1/embeddings",
        {"model": "embed", "input": [10**9]},
        "input: token 1000000000 given; from 0 to ",
    ),
]


@pytest.mark.parametrize(("path", "body", "beginning"), REFUSED)
def test_what_no_model_can_do_is_refused_as_the_client_wrote_it(
    gateway: Gateway, path: str, body: dict[str, Any], beginning: str
) -> None:
    answer = gateway.post(path, body)
    error = answer.json().get("error", answer.json())
    message = error if isinstance(error, str) else error["message"]
    assert answer.status_code == (413 if "10000 given" in beginning else 400)
    assert message.startswith(beginning)


def test_an_unknown_model_is_told_which_there_are(gateway: Gateway) -> None:
    answer = gateway.post(CHAT, BODY | {"model": "gpt-4\r\nset-cookie: a=b"})
    assert answer.status_code == 404
    assert "possible: llm, rag" in answer.json()["error"]["message"]
    assert "set-cookie" not in answer.headers


NUL = "a\0b"
WITH_NUL: list[tuple[str, dict[str, Any]]] = [
    (CHAT, BODY | {"messages": [{"role": "user", "content": NUL}]}),
    ("/v1/completions", {"model": "llm", "prompt": NUL, "max_tokens": 1}),
    ("/v1/responses", {"model": "llm", "input": NUL, "max_output_tokens": 1}),
    ("/v1/messages", BODY | {"system": NUL}),
    ("/v1/rag", {"question": NUL, "documents": [NUL], "max_tokens": 1}),
    ("/v2/chat", BODY | {"messages": [{"role": "user", "content": NUL}]}),
    ("/v2/embed", {"model": "embed", "input_type": "clustering", "texts": [NUL]}),
    ("/v2/rerank", {"model": "rerank", "query": NUL, "documents": [NUL]}),
    ("/v1/embeddings", {"model": "embed", "input": [NUL]}),
    ("/v1/ranking", {"model": "rerank", "query": {"text": NUL}, "passages": [{"text": NUL}]}),
    ("/rerank", {"query": NUL, "texts": [NUL]}),
    ("/embed", {"inputs": NUL}),
    ("/v2/models/llm/generate", {"text_input": NUL, "max_tokens": 1}),
]


@pytest.mark.parametrize(("path", "body"), WITH_NUL)
def test_a_text_may_hold_nul(gateway: Gateway, path: str, body: dict[str, Any]) -> None:
    assert gateway.post(path, body).status_code == 200


def test_a_prompt_is_told_by_no_error(gateway: Gateway) -> None:
    secret = "my password is 1234 " * 5_000
    for path, body in (
        (CHAT, BODY | {"messages": [{"role": "user", "content": secret}]}),
        ("/v1/messages", BODY | {"system": secret}),
        ("/v1/responses", {"model": "llm", "input": secret}),
        ("/rerank", {"query": secret, "texts": ["a"]}),
    ):
        answer = gateway.post(path, body)
        assert answer.status_code == 400
        assert "1234" not in answer.text
    assert "1234" not in gateway.log.read_text(encoding="utf-8")


def test_requests_with_one_id_don_t_end_each_other(gateway: Gateway) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: gateway.post(CHAT, BODY, x_request_id="same"), range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.json()["choices"][0]["message"]["content"] for answer in answers}) == 1


# --- below HTTP's surface --------------------------------------------------------------------


def raw(gateway: Gateway, request: bytes) -> bytes:
    """All that comes back until the gateway closes the connection."""
    address, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((address, int(port)), timeout=BOUND_S) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer


HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
)
LENGTH = b"content-length: %d\r\n"
CLOSE = b"connection: close\r\n"


def test_a_body_that_is_announced_too_large_is_not_waited_for(gateway: Gateway) -> None:
    answer = raw(gateway, HEAD + LENGTH % 10**12 + CLOSE + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_request_with_two_lengths_is_one_request(gateway: Gateway) -> None:
    """Smuggling: who reads by chunks sees a second request where who reads by length sees none."""
    hidden = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n"
    smuggled = b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n" + hidden
    answer = raw(gateway, HEAD + LENGTH % (len(hidden) + 5) + CLOSE + smuggled)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b'"data"' not in answer


def test_a_line_break_in_a_header_adds_none_to_the_answer(gateway: Gateway) -> None:
    body = json.dumps(BODY).encode()
    injected = b"x-request-id: a\rset-cookie: b=c\r\n"
    answer = raw(gateway, HEAD + injected + LENGTH % len(body) + CLOSE + b"\r\n" + body)
    assert b"set-cookie" not in answer.partition(b"\r\n\r\n")[0].lower()


@pytest.fixture(scope="module")
def impatient(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that waits for headers, and for a body, as long as a machine may stall."""
    folder = tmp_path_factory.mktemp("impatient")
    settings = "[bounds]\nbody_s = 3.0\n[listen]\nheaders_s = 3.0\n"
    with running_gateway(server.ports, folder, settings) as found:
        yield found


def test_clients_that_send_slowly_hold_up_nobody(impatient: Gateway) -> None:
    address, port = impatient.url.removeprefix("http://").split(":")
    with contextlib.ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection((address, int(port)), timeout=BOUND_S))
            for _ in range(100)
        ]
        for number, connection in enumerate(slow):
            connection.sendall(HEAD + (LENGTH % 100 + b'\r\n{"model"' if number % 2 else b""))
        assert impatient.post(CHAT, BODY).status_code == 200
        no_headers = slow[0].recv(65536)
        no_body = b""
        while b'"error"' not in no_body and (part := slow[1].recv(65536)):
            no_body += part
    assert no_headers.startswith(b"HTTP/1.1 408")
    assert no_body.startswith(b"HTTP/1.1 504")
    assert b'"error"' in no_body


def test_headers_without_an_end_are_not_collected(gateway: Gateway) -> None:
    answer = raw(gateway, (HEAD + b"x: ").ljust(HEADER_BYTES + 1, b"a"))
    assert answer.startswith(b"HTTP/1.1 431")


CHUNKED = b"transfer-encoding: chunked\r\n\r\n"


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


AROUND = {
    "trailers": b"0\r\nx: ",
    "extensions": b"5;",
    "tiny chunks": HEADER_BYTES // 4 * chunk(b" "),
}


@pytest.mark.parametrize("name", AROUND)
def test_what_is_around_chunks_is_not_collected(gateway: Gateway, name: str) -> None:
    sent = HEAD + CHUNKED + chunk(b"{") + AROUND[name]
    answer = raw(gateway, sent.ljust(HEADER_BYTES + 9, b"a"))
    assert answer.startswith(b"HTTP/1.1 431")


def test_trailers_are_no_headers(gateway: Gateway) -> None:
    body = chunk(json.dumps(BODY).encode()) + b"0\r\nx-request-id: a-trailer\r\n\r\n"
    answer = raw(gateway, HEAD + CLOSE + CHUNKED + body)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"a-trailer" not in answer


@pytest.mark.parametrize("stream", [False, True])
def test_http_1_0_gets_no_chunks(gateway: Gateway, stream: bool) -> None:
    """A body without a length ends with the connection, as for `ab` and nginx's default."""
    answer = raw(gateway, request(stream=stream).replace(b" HTTP/1.1", b" HTTP/1.0"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head and b"connection: close" in head
    assert body.startswith(b"data: {" if stream else b"{") and b'"finish_reason":"length"' in body
    assert not stream or body.endswith(b"data: [DONE]\n\n")


ODD = {
    "two hosts": (b"host: evil.example.com\r\n", b""),
    "a body that is packed": (b"transfer-encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_others_could_read_otherwise_is_refused(gateway: Gateway, name: str) -> None:
    header, body = ODD[name]
    assert raw(gateway, HEAD + header + CLOSE + b"\r\n" + body).startswith(b"HTTP/1.1 400")


def request(**changes: Any) -> bytes:
    body = json.dumps(BODY | changes).encode()
    return HEAD + LENGTH % len(body) + b"\r\n" + body


def test_a_request_before_the_answer_to_another_is_not_read(gateway: Gateway) -> None:
    answer = raw(gateway, 2 * request())
    assert (answer.count(b"HTTP/1.1 200"), answer.count(b'"choices"')) == (1, 1)


def test_what_is_sent_during_an_answer_is_not_collected(gateway: Gateway, server: Server) -> None:
    """Nor does it hide that the client leaves."""
    process = psutil.Process(gateway.process.pid)
    address, port = gateway.url.removeprefix("http://").split(":")
    before = process.memory_info().rss
    with (
        cancelled(server, 1),
        socket.create_connection((address, int(port)), timeout=BOUND_S) as connection,
    ):
        connection.sendall(request(max_tokens=2000, min_tokens=2000))
        assert eventually(lambda: not is_idle(server))
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"GET /livez HTTP/1.1\r\nx: " + b"a" * 64 * 2**20)
    assert process.memory_info().rss - before < 32 * 2**20


def test_an_offer_of_another_protocol_is_ignored(gateway: Gateway) -> None:
    """Java's client offers HTTP/2 with every request that is not encrypted."""
    offer = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAEA"}
    for _ in range(2):  # the connection is kept
        answer = gateway.client.post(CHAT, json=BODY, headers=offer)
        assert (answer.status_code, "connection" in answer.headers) == (200, False)


def test_who_leaves_within_a_body_leaves_no_traceback(gateway: Gateway) -> None:
    address, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((address, int(port)), timeout=BOUND_S) as connection:
        connection.sendall(HEAD + LENGTH % 100 + b"\r\n{")
    left = 'gateway_requests_total{route="unknown",status="499"}'
    assert eventually(lambda: left in gateway.client.get("/metrics").text)
    assert "Traceback" not in gateway.log.read_text(encoding="utf-8")


def test_neighbours_of_all_that_are_unharmed(gateway: Gateway) -> None:
    def talk(_: int) -> str:
        return str(gateway.post(CHAT, BODY).json()["choices"][0]["message"]["content"])

    def harm(number: int) -> int:
        content, headers = list(RAW.values())[number % len(RAW)]
        headers = {"content-type": "application/json"} | headers
        return gateway.client.post(CHAT, content=content, headers=headers).status_code

    expected = talk(0)
    with ThreadPoolExecutor(16) as pool:
        harmed, texts = pool.map(harm, range(48)), pool.map(talk, range(8))
        assert set(texts) == {expected}
        assert set(harmed) <= {400, 413, 415}
    assert "Traceback" not in gateway.log.read_text(encoding="utf-8")
