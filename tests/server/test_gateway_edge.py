"""The edge: real Envoy over real gateways, while one of them dies, drains, or is new."""

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest
import trustme

from gateway.address import Address
from gateway.envoy.edge import (
    Edge,
    Kind,
    ListenTls,
    ServerTls,
    Version,
)
from gateway.envoy.process import EnvoyProcess
from tests.server.cancellation import stopped_early
from tests.server.conftest import BOUND_S, Server, eventually
from tests.server.gateway import Gateway, running_gateway

TOKENS, LONG, LONGEST = 24, 1500, 2000
STREAMS = 8
CUT = 0
"""Instead of the status of an answer that broke off behind its headers."""
MODELS = "/v1/models"
"""The cheapest question to a gateway."""


class Running:
    """An Envoy and ways to ask it."""

    def __init__(self, edge: Edge, envoy: EnvoyProcess) -> None:
        self.edge, self.envoy = edge, envoy
        self.url = f"http://{edge.listen}"

    def statistic(self, cluster: str, name: str) -> int:
        return self.envoy.statistic(f"cluster.{cluster}.{name}")

    def requests_by_port(self, cluster: str) -> dict[int, int]:
        """How many requests each server of a cluster has had, probes not counted."""
        page = urllib.request.urlopen(f"http://{self.edge.admin}/clusters?format=json").read()
        (found,) = [
            each for each in json.loads(page)["cluster_statuses"] if each["name"] == cluster
        ]
        return {
            host["address"]["socket_address"]["port_value"]: sum(
                int(stat.get("value", 0)) for stat in host["stats"] if stat["name"] == "rq_total"
            )
            for host in found["host_statuses"]
        }

    def is_taking(self, cluster: str, servers: int) -> bool:
        """Whether so many servers have passed their first probe."""
        return self.statistic(cluster, "membership_healthy") == servers


def free_port() -> Address:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return Address("127.0.0.1", found.getsockname()[1])


@contextlib.contextmanager
def running_edge(
    *versions: Version, kind: Kind = Kind.GATEWAY, **options: Any
) -> Iterator[Running]:
    edge = Edge(kind, versions, listen=free_port(), admin=free_port(), **options)
    with EnvoyProcess(edge) as envoy:
        running = Running(edge, envoy)
        for version in versions:
            servers = len(version.servers)
            assert eventually(lambda: running.is_taking(f"{version.name}-by-load", servers))  # noqa: B023
            assert eventually(lambda: running.is_taking(f"{version.name}-by-hash", servers))  # noqa: B023
        yield running


def address(gateway: Gateway) -> Address:
    return Address.parse(gateway.url.removeprefix("http://").removesuffix("/v1"))


def stable(*gateways: Gateway, percent: int = 100) -> Version:
    return Version("stable", tuple(map(address, gateways)), percent)


@pytest.fixture(scope="module")
def replicas(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Gateway]]:
    """Two that stay, one to be drained and one to be killed."""
    folders = [tmp_path_factory.mktemp(f"replica-{number}") for number in range(4)]
    with ExitStack() as stack, ThreadPoolExecutor() as pool:

        def start(folder: Path) -> Gateway:
            return stack.enter_context(running_gateway(server.ports, folder))

        yield list(pool.map(start, folders))


@pytest.fixture(scope="module")
def edge(replicas: list[Gateway]) -> Iterator[Running]:
    """One that takes little."""
    with running_edge(stable(*replicas[:2]), body_bytes=10_000) as running:
        yield running


def chat(tokens: int, stream: bool = False) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Tell a story."}]
    length = {"max_tokens": tokens, "min_tokens": tokens}
    return {"model": "llm", "messages": messages, "stream": stream, **length}


def client(edge: Running) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(base_url=edge.url, timeout=BOUND_S, trust_env=False, limits=limits)


async def whole(asking: httpx.AsyncClient, number: int) -> tuple[str, int]:
    """Its status, or `CUT` if its body did not follow."""
    name = f"whole-{number}"
    async with asking.stream(
        "POST", "/v1/chat/completions", json=chat(TOKENS), headers={"x-request-id": name}
    ) as answer:
        with contextlib.suppress(httpx.RemoteProtocolError):
            await answer.aread()
            return name, answer.status_code
    return name, CUT


async def streamed(
    asking: httpx.AsyncClient, number: int, tokens: int, begun: "asyncio.Queue[str]"
) -> tuple[str, bool]:
    """Whether the stream came to its end; `begun` is told when its first event is here."""
    name, text = f"stream-{number}", ""
    with contextlib.suppress(httpx.RemoteProtocolError):
        async with asking.stream(
            "POST",
            "/v1/chat/completions",
            json=chat(tokens, stream=True),
            headers={"x-request-id": name},
        ) as answer:
            assert answer.status_code == 200
            async for piece in answer.aiter_text():
                if not text:
                    begun.put_nowait(name)
                text += piece
    return name, "[DONE]" in text


async def load(edge: Running, tokens: int, disturb: Any) -> tuple[dict[str, int], dict[str, bool]]:
    """Statuses of whole answers and ends of streams, of a load that is disturbed in its middle."""
    begun: asyncio.Queue[str] = asyncio.Queue()
    async with client(edge) as asking:
        streams = [asyncio.create_task(streamed(asking, n, tokens, begun)) for n in range(STREAMS)]
        wholes = [asyncio.create_task(whole(asking, n)) for n in range(8)]
        for _ in streams:
            await asyncio.wait_for(begun.get(), BOUND_S)
        disturb()
        wholes += [asyncio.create_task(whole(asking, n)) for n in range(8, 16)]
        return dict(await asyncio.gather(*wholes)), dict(await asyncio.gather(*streams))


def servers_by_request(log: str) -> dict[str, str]:
    """The server that each request of Envoy's access log was sent to last."""
    lines = (json.loads(line) for line in log.splitlines() if line.startswith('{"'))
    return {line["request_id"]: line["server"] for line in lines}


def test_when_one_dies_only_what_streamed_from_it_is_lost(
    replicas: list[Gateway], capfd: pytest.CaptureFixture[str]
) -> None:
    kept, dying = replicas[0], replicas[3]
    with running_edge(stable(kept, dying)) as edge:
        statuses, ends = asyncio.run(load(edge, LONG, dying.process.kill))
        before = edge.requests_by_port("stable-by-load")
        assert httpx.get(edge.url + MODELS, trust_env=False).status_code == 200
    log = capfd.readouterr().out
    served = servers_by_request(log)
    broken = {name for name, came_to_its_end in ends.items() if not came_to_its_end}
    # It may be killed between the headers and the body of an answer.
    cut = {name for name, status in statuses.items() if status == CUT}
    assert set(statuses.values()) - {CUT} == {200}, log
    assert broken
    assert broken | cut <= {name for name in served if served[name] == str(address(dying))}
    assert min(before.values()) > 0


def test_when_one_is_drained_nothing_is_lost(replicas: list[Gateway]) -> None:
    kept, leaving = replicas[0], replicas[2]
    with running_edge(stable(kept, leaving)) as edge:
        statuses, ends = asyncio.run(load(edge, LONG // 4, leaving.process.terminate))
        assert min(edge.requests_by_port("stable-by-load").values()) > 0
    assert set(statuses.values()) == {200}
    assert all(ends.values())


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_a_client_that_leaves_ends_the_work_behind_the_edge(
    edge: Running, server: Server, version: str
) -> None:
    url, body = edge.url + "/v1/chat/completions", json.dumps(chat(LONGEST, stream=True))
    with stopped_early(server, LONGEST):
        command = ["curl", "-sN", version, url, "--json", body]
        leaving = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert leaving.stdout is not None
        assert leaving.stdout.readline().startswith(b"data: ")
        leaving.kill()
        leaving.wait()


def test_a_canary_gets_its_share_and_a_mirror_gets_copies(replicas: list[Gateway]) -> None:
    first, second = replicas[:2]
    count, percent = 300, 10
    versions = stable(first, percent=100 - percent), Version("canary", (address(second),), percent)
    with (
        running_edge(*versions, mirror=(address(second),)) as edge,
        httpx.Client(base_url=edge.url, trust_env=False) as asking,
    ):
        assert {asking.get(MODELS).status_code for _ in range(count)} == {200}
        canary = edge.statistic("canary-by-load", "upstream_rq_completed")
        assert canary + edge.statistic("stable-by-load", "upstream_rq_completed") == count
        assert 9 <= canary <= 56  # all but a millionth of the binomial distribution
        assert eventually(lambda: edge.statistic("mirror", "upstream_rq_2xx") == count)


@pytest.mark.parametrize(
    ("headers", "body"),
    [({"x-session-id": "jane"}, b""), ({}, b'{"messages": "the same beginning"')],
    ids=["session", "prefix"],
)
def test_what_belongs_together_goes_to_one_server(
    replicas: list[Gateway], headers: dict[str, str], body: bytes
) -> None:
    with (
        running_edge(stable(*replicas[:2]), prefix_bytes=16) as edge,
        httpx.Client(base_url=edge.url, trust_env=False) as asking,
    ):
        for number in range(20):
            more = f", {number}".encode() if body else b""
            asking.request("POST", MODELS, headers=headers, content=body + more)
        assert sorted(edge.requests_by_port("stable-by-hash").values()) == [0, 20]


SMUGGLED = {
    "length and chunks": b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    "two lengths": b"Content-Length: 6\r\nContent-Length: 5\r\n\r\nabcdef",
    "length with a sign": b"Content-Length: +6\r\n\r\nabcdef",
    "space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "two encodings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "unknown encoding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunk of another size": b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc\r\n0\r\n\r\nGET /",
    "NUL": b"X-A: a\x00b\r\n\r\n",
    "underscore": b"X_A: b\r\n\r\n",
}


def raw(edge: Running, sent: bytes) -> bytes:
    """All that comes back until Envoy closes the connection."""
    listen = edge.edge.listen
    with socket.create_connection((listen.host, listen.port), timeout=BOUND_S) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_what_two_servers_could_read_in_two_ways_reaches_none(edge: Running) -> None:
    begin = b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    before = edge.statistic("stable-by-load", "upstream_rq_total")
    with ThreadPoolExecutor(len(SMUGGLED)) as pool:
        answers = pool.map(lambda sent: raw(edge, begin + sent), SMUGGLED.values())
        found = dict(zip(SMUGGLED, answers, strict=True))
    statuses = {name: answer.split()[1] for name, answer in found.items()}
    assert set(statuses.values()) <= {b"400", b"501"}, statuses
    assert [name for name, answer in found.items() if answer.count(b"HTTP/1.1") != 1] == []
    assert edge.statistic("stable-by-load", "upstream_rq_total") == before


def test_who_sends_slowly_holds_no_server(replicas: list[Gateway]) -> None:
    begun = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1",
    )
    hurried = running_edge(stable(replicas[0]), header_s=0.5, request_s=1.0)
    with hurried as edge, ThreadPoolExecutor() as pool:
        answers = pool.map(lambda sent: raw(edge, sent), begun)
        assert [answer.split()[1] for answer in answers] == [b"408", b"408"]


@pytest.mark.parametrize("headers", [101 * b"X: a\r\n", b"X: %b\r\n" % (b"a" * 33_000)])
def test_too_many_headers_or_bytes_of_them_reach_no_server(edge: Running, headers: bytes) -> None:
    """Some are still on their way when Envoy closes the connection, which can lose its answer."""
    before, answer = edge.statistic("stable-by-load", "upstream_rq_total"), b"HTTP/1.1 431"
    with contextlib.suppress(ConnectionError):
        answer = raw(edge, b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 431")
    assert edge.statistic("stable-by-load", "upstream_rq_total") == before


def test_a_large_body_is_refused_in_openai_s_words(edge: Running) -> None:
    answer = httpx.post(edge.url + MODELS, content=b"x" * 10_001, trust_env=False)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == 413


def test_a_triton_gets_bodies_whole_and_only_requests_to_models(server: Server) -> None:
    version = Version("stable", (Address("127.0.0.1", server.ports.http),))

    def chunks() -> Iterator[bytes]:
        for byte in b'{"input_text": "' + b"a " * 500 + b'"}':
            yield bytes([byte])

    with (
        running_edge(version, kind=Kind.TRITON) as edge,
        httpx.Client(base_url=edge.url, trust_env=False, timeout=BOUND_S) as asking,
    ):
        asked = {
            path: asking.post(path, content=b"{}").status_code
            for path in ("/v2/repository/index", "/v2/repository/models/llm/unload", "/v2/logging")
        }
        embedded = asking.post("/v2/models/embed/generate", content=chunks())
    assert list(asked.values()) == [200, 403, 403]
    assert embedded.status_code == 200, embedded.text


def test_both_sides_of_an_edge_show_certificates(replicas: list[Gateway], tmp_path: Path) -> None:
    authority, files = trustme.CA(), [tmp_path / name for name in ("ca", "certificate", "key")]
    issued = authority.issue_cert("edge.test")
    authority.cert_pem.write_to_path(str(files[0]))
    issued.cert_chain_pems[0].write_to_path(str(files[1]))
    issued.private_key_pem.write_to_path(str(files[2]))
    ca, certificate, key = files
    with running_edge(stable(replicas[0]), listen_tls=ListenTls(certificate, key, ca)) as inner:
        before = Version("stable", (inner.edge.listen,))
        with running_edge(before, server_tls=ServerTls(ca, "edge.test", certificate, key)) as outer:
            assert httpx.get(outer.url + MODELS, trust_env=False).status_code == 200
        listen = (inner.edge.listen.host, inner.edge.listen.port)
        stranger = ssl.create_default_context(cafile=str(ca))
        stranger.set_alpn_protocols(["h2"])
        assert handshake(listen, stranger) == "refused"
        stranger.load_cert_chain(certificate, key)
        assert handshake(listen, stranger) == "h2"


def handshake(listen: tuple[str, int], context: ssl.SSLContext) -> str:
    """The protocol that is agreed on, or that there is none."""
    with socket.create_connection(listen, timeout=BOUND_S) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="edge.test") as secure:
                secure.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\4" + bytes(5))
                secure.recv(1)  # TLS 1.3 refuses a client after its handshake
                return secure.selected_alpn_protocol() or ""
        except ssl.SSLError:
            return "refused"


def test_an_edge_that_ends_waits_for_its_requests(replicas: list[Gateway]) -> None:
    async def run() -> bool:
        begun: asyncio.Queue[str] = asyncio.Queue()
        with running_edge(stable(replicas[0])) as edge:
            async with client(edge) as asking:
                stream = asyncio.create_task(streamed(asking, 0, LONG // 4, begun))
                await asyncio.wait_for(begun.get(), BOUND_S)
                await asyncio.to_thread(edge.envoy.drain)
                with pytest.raises(httpx.ConnectError):
                    await httpx.AsyncClient(trust_env=False).get(edge.url + MODELS)
                return (await stream)[1]

    assert asyncio.run(run())


def test_an_edge_that_is_ended_while_it_starts_leaves_no_envoy() -> None:
    options = ("--gateway", "127.0.0.1:1", "--listen", str(free_port()), "--admin")
    command = [sys.executable, "-m", "gateway", "edge", *options, str(free_port())]
    edge = subprocess.Popen(command)
    try:
        about = psutil.Process(edge.pid)
        assert eventually(about.children)
        (envoy,) = about.children()
        edge.terminate()
        assert edge.wait(BOUND_S) == 0
        assert eventually(lambda: not envoy.is_running())
    finally:
        edge.kill()


# --- global limits ---------------------------------------------------------------------------

SHOULD_RATE_LIMIT = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
OK, OVER_LIMIT = b"\x08\x01", b"\x08\x02"
"""A `RateLimitResponse` as bytes: field 1 is the overall code."""


@contextlib.contextmanager
def rate_limit_service(asked: list[bytes], most: int) -> Iterator[Address]:
    """Envoy's protocol: takes `most` requests in all, and notes what it is sent."""

    def answer(request: bytes, _: grpc.ServicerContext) -> bytes:
        asked.append(request)
        return OK if len(asked) <= most else OVER_LIMIT

    method = grpc.unary_unary_rpc_method_handler(answer)
    service, name = SHOULD_RATE_LIMIT.strip("/").split("/")
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {name: method})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield Address("127.0.0.1", port)
    finally:
        server.stop(None).wait()


def test_a_rate_limit_service_counts_by_keys_that_it_never_sees(replicas: list[Gateway]) -> None:
    asked: list[bytes] = []
    secret = "sk-0123456789ab-secret"
    headers = {"authorization": f"Bearer {secret}", "x-key-hash": "chosen"}
    with (
        rate_limit_service(asked, most=2) as service,
        running_edge(stable(replicas[0]), rate_limits=service) as edge,
        httpx.Client(base_url=edge.url, headers=headers) as asking,
    ):
        answers = [asking.get(MODELS) for _ in range(3)]
        asking.get(MODELS, headers={"authorization": "", "x-api-key": secret})
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert len(set(asked)) == 1  # both headers bring the same key
    assert all(b"triton-rag" in each and b"remote_address" in each for each in asked)
    assert all(b"secret" not in each and b"chosen" not in each for each in asked)


def test_without_its_rate_limit_service_the_edge_goes_on(replicas: list[Gateway]) -> None:
    with running_edge(stable(replicas[0]), rate_limits=free_port()) as edge:
        assert httpx.get(f"{edge.url}{MODELS}").status_code == 200
