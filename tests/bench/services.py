"""What is measured, started when first asked for and stopped together; who can do what."""

import asyncio
import contextlib
import itertools
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import aiohttp
import psutil

from builders.spec import ROOT, load_sku
from operations.cpu_server import CpuServer
from operations.ports import free_ports
from operations.triton_api import TritonApi
from tests.bench.bare_engines import BareEncoders, BareRag, Library, SentenceTransformers
from tests.bench.peer_process import (
    LLAMA,
    LLAMA_LAYOUT,
    PEERS,
    PYTHON,
    Completions,
    Http,
    Layout,
    Peer,
    PeerFault,
    completion,
    session,
    tree,
)
from tests.bench.rag_limits import ANSWER_TOKENS
from tests.bench.results import BARE, CANCELLABLE, FOLDER, OURS
from tests.load.records import Send
from tests.load.triton_client import Triton, payload
from tests.load.workloads import Embed, Request, Rerank

LIBRARY = "sentence-transformers"


@dataclass(frozen=True)
class Variant:
    """Something that does a workload."""

    name: str
    prepare: Callable[[Request], Any]
    """Makes what `send` takes; not timed."""
    send: Send[Any]


@dataclass
class Services:
    """`with`-able; `loop` runs everything that waits."""

    layouts: dict[str, Layout] = field(default_factory=lambda: dict(PEERS))
    """How a peer is started."""
    faults: dict[str, str] = field(default_factory=dict)
    """Peers that are not to be had, with the reason."""
    start_s: float = 0.0
    """How long our server took until every model was ready."""
    _running: dict[str, Peer] = field(default_factory=dict)
    _ended: list[Callable[[], None]] = field(default_factory=list)

    def __enter__(self) -> "Services":
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._running):
            self.stop_peer(name)
        for end in reversed(self._ended):
            end()
        self.loop.close()

    @cached_property
    def loop(self) -> asyncio.Runner:
        """One event loop for the whole run: connections belong to it."""
        return asyncio.Runner()

    @cached_property
    def server(self) -> CpuServer:
        FOLDER.mkdir(parents=True, exist_ok=True)
        begun = time.perf_counter()
        server = CpuServer(load_sku("cpu"), free_ports(), FOLDER / "tritonserver.log")
        server.start()
        self.start_s = time.perf_counter() - begun
        self._ended.append(lambda: print(f"our server ended: {server.stop()}"))
        return server

    @cached_property
    def api(self) -> TritonApi:
        """HTTP and metrics of our server."""
        return TritonApi(self.server.ports)

    @property
    def url(self) -> str:
        """gRPC of our server."""
        return f"127.0.0.1:{self.server.ports.grpc}"

    @cached_property
    def triton(self) -> Triton:
        """Client of our server."""
        return self.client(self.url)

    def client(self, url: str) -> Triton:
        """Closed with the rest."""

        async def make() -> Triton:
            return Triton(url)

        found = self.loop.run(make())
        self._ended.append(lambda: self.loop.run(found.close()))
        return found

    @cached_property
    def encoders(self) -> BareEncoders:
        """The engines in this process."""
        return BareEncoders()

    @cached_property
    def bare_rag(self) -> BareRag:
        """The engines in this process, one behind the other."""
        found = BareRag(self.encoders)
        self._ended.append(found.close)
        return found

    @cached_property
    def library(self) -> SentenceTransformers:
        return SentenceTransformers()

    @cached_property
    def thread(self) -> Library:
        """For what runs in this process."""
        found = Library()
        self._ended.append(found.close)
        return found

    @cached_property
    def http(self) -> aiohttp.ClientSession:
        """Connections to the peers."""

        async def make() -> aiohttp.ClientSession:
            return session()

        found = self.loop.run(make())
        self._ended.append(lambda: self.loop.run(found.close()))
        return found

    def ours(self, workload: str) -> list[Variant]:
        """Our server; `rag` twice."""
        match workload:
            case "rag":
                return [
                    Variant(OURS, partial(question, model="rag"), self.triton.rag),
                    Variant(
                        CANCELLABLE, partial(question, model="rag_cancellable"), self.triton.rag
                    ),
                ]
            case "llm":
                return [Variant(OURS, lambda r: payload(r, "llm", True), self.triton.llm)]
            case _:
                return [Variant(OURS, lambda r: payload(r, workload), self.triton.unary)]

    def in_process(self, workload: str) -> list[Variant]:
        """Bare engines, and the library where it does the work."""
        match workload:
            case "rag":
                return [Variant(BARE, self.bare_rag.prepare, self.bare_rag.send)]
            case "embed" | "rerank":
                return [
                    Variant(BARE, self.encoders.prepare, self.thread.send),
                    Variant(LIBRARY, self.library.prepare, self.thread.send),
                ]
            case _:
                return []

    def peers(self, workload: str) -> list[Variant]:
        """Every peer that is running or can be started."""
        return [v for name in PEERS if (v := self.peer(name, workload))]

    def llama(self) -> list[Variant]:
        """llama.cpp, where it is built: the LLM alone."""
        self.layouts.setdefault(LLAMA, LLAMA_LAYOUT)
        if (peer := self.started_peer(LLAMA)) is None:
            return []
        send = Completions(self.http, peer.path("completions")).send
        return [Variant(LLAMA, completion, send)]

    def peer(self, name: str, workload: str) -> Variant | None:
        """One of them, by its HTTP path; None, with a fault, when it is not to be had."""
        peer = self.started_peer(name)
        if peer is None:
            return None
        url = peer.path(workload)

        def prepare(request: Request) -> tuple[float, bytes]:
            return work_of(request), peer.payload(request)

        return Variant(name, prepare, Http(self.http, url).send)

    def started_peer(self, name: str) -> Peer | None:
        """Started once; what died since is started once more."""
        if name in self.faults:
            return None
        peer = self._running.get(name)
        if peer is not None and peer.is_alive():
            return peer
        print(f"  starting {name} …", flush=True)
        try:
            _check_environment()
            peer = Peer(name, self.layouts[name])
            self._running[name] = peer
            peer.wait()
        except (PeerFault, OSError) as error:
            self.faults[name] = str(error)
            self.stop_peer(name)
            print(f"  {name} is left out: {error}", flush=True)
            return None
        return peer

    def running_peers(self) -> dict[str, Peer]:
        """Those that are up."""
        return {name: peer for name, peer in self._running.items() if peer.is_alive()}

    @contextlib.contextmanager
    def others_stopped(self, variant: str) -> Iterator[None]:
        """The others' servers stand still: some take half a core while nobody asks them."""
        peer = variant.partition(",")[0]  # behind it is its layout
        found = [one.processes() for name, one in self.running_peers().items() if name != peer]
        if peer in (*PEERS, LLAMA) and "server" in vars(self):
            found.append(tree(self.server.pid))
        others = list(itertools.chain(*found))
        signal_all(others, signal.SIGSTOP)
        try:
            yield
        finally:
            signal_all(others, signal.SIGCONT)

    def stop_peer(self, name: str) -> None:
        """With all of its processes."""
        if peer := self._running.pop(name, None):
            peer.stop()


def question(request: Request, model: str, is_streamed: bool = False) -> bytes:
    """Asks for what the LLM itself says, as long as everybody's answers: no policy ends it."""
    limits = {"max_tokens": ANSWER_TOKENS, "min_tokens": ANSWER_TOKENS}
    return payload(request, model, is_streamed, check_grounding=False, **limits)


def signal_all(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Those that have ended are left out."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def work_of(request: Request) -> float:
    """Rows or questions; what a target of our server counts itself."""
    match request:
        case Embed(texts):
            return float(len(texts))
        case Rerank(_, passages):
            return float(len(passages))
        case _:
            return 1.0


def _check_environment() -> None:
    if not PYTHON.exists():
        print("  making .venv-peers (make bench-peers) …", flush=True)
        subprocess.run(["make", "-s", "bench-peers"], cwd=ROOT, check=False)
    if not PYTHON.exists():
        raise PeerFault("no .venv-peers: 'make bench-peers' failed")
