"""Peers as processes, and how they are called."""

import asyncio
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import get_args

import aiohttp
import psutil

from builders.checkpoint import source_path
from builders.checkpoint_files import answer_weights
from builders.checkpoint_kind import is_llm
from builders.repository import engine_link
from builders.spec import ROOT, Role
from ensembles.manifest import read_manifest
from operations.ports import free_ports
from tests.bench.results import FOLDER
from tests.load.records import Refused
from tests.load.workloads import Generate, Rag, Request
from tests.server.checkpoints import checkpoint, served_checkpoint, served_spec

PYTHON = ROOT / ".venv-peers" / "bin" / "python"
START_TIMEOUT_S = 180
_OVERLOADED = (429, 503)


class PeerFault(Exception):
    """The peer did not start, or answered with an error; the message says which."""


@dataclass(frozen=True)
class Layout:
    """How a peer uses two cores."""

    workers: int
    threads: int


PEERS = {
    "fastapi": Layout(2, 1),
    "bentoml": Layout(1, 2),
    "litserve": Layout(1, 2),
    "ray_serve": Layout(1, 2),
    "mosec": Layout(1, 2),
}
"""Each with the layout it runs in; `--only layouts` measures both for all of them."""

LLAMA = "llama_cpp"
LLAMA_LAYOUT = Layout(1, 2)
"""Serves the LLM only, one request at a time."""

LAYOUTS = (Layout(1, 2), Layout(2, 1))


class Peer:
    """A running peer. Raises `PeerFault` when it does not answer in time."""

    def __init__(self, name: str, layout: Layout) -> None:
        self.name, self._log = name, FOLDER / f"{name}.log"
        self._url = f"http://127.0.0.1:{(port := free_ports().http)}"
        arguments = [str(port), str(layout.workers), str(layout.threads)]
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [PYTHON, "-m", f"tests.bench.peers.{name}", *arguments],
                cwd=ROOT, env=_environment(), stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def wait(self) -> None:
        """Until it answers every kind of request."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None:
                raise PeerFault(f"ended with {self._process.returncode} at start: {self._tail()}")
            if time.monotonic() > deadline:
                raise PeerFault(f"no answer in {START_TIMEOUT_S} s: {self._tail()}")
            time.sleep(0.5)

    def is_alive(self) -> bool:
        """Whether its first process runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Its whole session; what doesn't end by itself within moments is killed."""
        group = self._process.pid  # start_new_session
        for kind in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(group, kind)
            except ProcessLookupError:
                break
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                continue

    def processes(self) -> list[psutil.Process]:
        """All of its processes."""
        return tree(self._process.pid)

    def resident_mib(self) -> float:
        """All of its processes; pages that they share count once each."""
        return float(sum(each.memory_info().rss for each in self.processes())) / 2**20

    def cpu_s(self) -> float:
        """Taken so far by all of its processes."""
        times = [each.cpu_times() for each in self.processes()]
        return float(sum(each.user + each.system for each in times))

    def payload(self, request: Request) -> bytes:
        """BentoML's batchable methods take a list."""
        body = asdict(request)
        return json.dumps({"requests": [body]} if self.name == "bentoml" else body).encode()

    def path(self, workload: str) -> str:
        """The address that does `workload`; llama.cpp's are those of OpenAI."""
        if self.name == LLAMA:
            return f"{self._url}/v1/{workload}"
        return f"{self._url}/{workload}"

    def _answers(self) -> bool:
        """A whole `rag` request, since a peer that listens may have no models yet."""
        try:
            if self.name == LLAMA:
                with urllib.request.urlopen(self.path("models"), timeout=5):
                    return True
            post(self, Rag("Which port?", ("Vebra listens on port 8123.",)), timeout_s=30)
        except (urllib.error.URLError, OSError, ValueError):
            return False
        return True

    def _tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        return " / ".join(line for line in lines[-3:] if line)[-300:]


def tree(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


class Http:
    """Sends to a peer over connections that stay open."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url
        self._headers = {"Content-Type": "application/json"}

    async def send(self, job: tuple[float, bytes]) -> AsyncIterator[float]:
        """(work, body): the answer is read, not parsed: that is not what is measured."""
        work, body = job
        async with self._session.post(self._url, data=body, headers=self._headers) as answer:
            await answer.read()
            if answer.status in _OVERLOADED:
                raise Refused
            if answer.status != 200:
                raise PeerFault(f"HTTP {answer.status}")
        yield work


class Completions:
    """Streams of an OpenAI-style server that generates exactly as many tokens as it is told."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url
        self._headers = {"Content-Type": "application/json"}

    async def send(self, job: tuple[int, bytes]) -> AsyncIterator[float]:
        """(tokens, body): a token an event, the last response has what events did not show."""
        tokens, body = job
        seen = 0
        async with self._session.post(self._url, data=body, headers=self._headers) as answer:
            if answer.status != 200:
                raise PeerFault(f"HTTP {answer.status}")
            async for line in answer.content:
                if line.startswith(b"data: {") and seen < tokens - 1:
                    seen += 1
                    yield 1.0
        yield float(tokens - seen)


def completion(request: Request) -> tuple[int, bytes]:
    """Job of `Completions`: greedy, no end before its length."""
    if not isinstance(request, Generate):
        raise TypeError(f"{type(request).__name__}: llama.cpp's server takes Generate only")
    body = {
        "prompt": request.prompt, "max_tokens": request.tokens, "min_tokens": request.tokens,
        "temperature": 0, "stream": True,
    }  # fmt: skip
    return request.tokens, json.dumps(body).encode()


def session() -> aiohttp.ClientSession:
    """Has as many connections as clients; belongs to the running event loop."""
    asyncio.get_running_loop()
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
    )


def post(peer: Peer, request: Rag, timeout_s: float = 120) -> dict[str, object]:
    """One request, its answer parsed."""
    body, headers = peer.payload(request), {"Content-Type": "application/json"}
    message = urllib.request.Request(peer.path("rag"), body, headers)
    with urllib.request.urlopen(message, timeout=timeout_s) as answer:
        found = json.load(answer)
    return dict(found[0] if isinstance(found, list) else found)


def model_settings() -> dict[str, str]:
    """What the peers read from the environment: which models they serve, and how."""
    folders = {f"BENCH_{role.upper()}": str(checkpoint(role)) for role in get_args(Role)}
    source = source_path(served_spec("llm"))
    return folders | {
        "BENCH_GGUF": str(source) if source.suffix == ".gguf" else "",
        "BENCH_LLM_ENGINE": str(engine_link("llm").resolve()),
        "BENCH_ANSWER_WEIGHTS": _encoder_weights("reranker"),
        "BENCH_READER_WEIGHTS": _encoder_weights("reader"),
        "BENCH_RELEVANCE_PERCENT": str(read_manifest(engine_link("reranker")).relevance_percent),
        "BENCH_READER_PERCENT": str(read_manifest(engine_link("reader")).relevance_percent),
    }


def _encoder_weights(role: str) -> str:
    """The trained weights that the checkpoint of an embedder needs; empty for other kinds."""
    spec, found = served_spec(role), served_checkpoint(role)
    return str(answer_weights(spec)) if spec.answer_weights and not is_llm(found.config()) else ""


def _environment() -> dict[str, str]:
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONWARNINGS": "ignore"}
    return os.environ | model_settings() | quiet | {"PYTHONPATH": str(ROOT)}
