"""The whole `rag` at 1 and 8 concurrent, against the FastAPI peer, on the sample collection."""

import itertools
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from tritonclient.grpc import InferenceServerClient

from builders.server import free_ports
from builders.spec import BUILDERS, ROOT
from tests.bench.measure import Spread, rates
from tests.server.conftest import OpenStream, tensor, text

COLLECTION = BUILDERS / "reference" / "collection"
CONCURRENCY = (1, 8)
_numbers = itertools.count()

Ask = Callable[[str, list[str]], str]
Run = Callable[[], float]


def documents() -> list[str]:
    """The sample collection."""
    return [file.read_text() for file in sorted(COLLECTION.glob("*.md"))]


def questions() -> list[str]:
    """Of the sample collection."""
    return [json.loads(line)["question"] for line in (COLLECTION / "questions.jsonl").open()]


@contextmanager
def peer() -> Iterator[str]:
    """The address of a running peer."""
    port = free_ports().http
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.peer", str(port)], cwd=ROOT)
    url = f"http://127.0.0.1:{port}"
    try:
        while process.poll() is None and not _answers(url):
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/openapi.json", timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False


def ask_peer(url: str, question: str, passages: list[str]) -> str:
    """The peer's answer."""
    body = json.dumps({"question": question, "passages": passages}).encode()
    request = urllib.request.Request(f"{url}/rag", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as answer:
        return str(json.load(answer)["answer"])


def ask_triton(url: str, model: str, question: str, texts: list[str]) -> str:
    """The server's answer, not streamed."""
    given = tensor("documents", [t.encode() for t in texts], "BYTES")
    stream = OpenStream(url, model, [text("question", question), given])
    response, error = stream.next(timeout_s=300)
    stream.close()
    if error:
        raise error
    return str(response.as_numpy("text_output")[0].decode())


def passages_of(url: str) -> list[str]:
    """The collection as our splitter cuts it, so that both sides do the same work."""
    client = InferenceServerClient(url)
    given = tensor("documents", [d.encode() for d in documents()], "BYTES")
    found = client.infer("passage_splitter", [text("question", "any"), given]).as_numpy("passages")
    client.close()
    return [p.decode() for p in found]


def measure(url: str, repeats: int) -> tuple[dict[int, dict[str, Spread]], float]:
    """Questions per second by concurrency; and the share of answers that are equal."""
    asked, passages = questions()[:8], passages_of(url)
    with peer() as peer_url:
        asks: dict[str, Ask] = {
            "peer": lambda q, p: ask_peer(peer_url, q, p),
            "rag": lambda q, p: ask_triton(url, "rag", q, p),
            "rag_cancellable": lambda q, p: ask_triton(url, "rag_cancellable", q, p),
        }
        equal = sum(asks["peer"](q, passages) == asks["rag"](q, passages) for q in asked)
        found = {
            concurrent: rates(
                {name: _runner(ask, asked, passages, concurrent) for name, ask in asks.items()},
                repeats,
            )
            for concurrent in CONCURRENCY
        }
    return found, equal / len(asked)


@dataclass(frozen=True)
class Quality:
    """Over the sample collection's questions, through the whole server."""

    told: int
    found: int
    """Of the told ones: a source with the answer is first."""
    right: int
    """Of the told ones: the answer holds the exact value."""
    not_told: int
    refused: int
    """Of those that the collection doesn't tell: the LLM says so."""


def quality(url: str) -> Quality:
    """How good the reference models are together."""
    lines = [json.loads(line) for line in (COLLECTION / "questions.jsonl").open()]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda line: _answer(url, line["question"]), lines))
    told = [(a, line["answer"]) for a, line in zip(answers, lines, strict=True) if line["answer"]]
    rest = [a for a, line in zip(answers, lines, strict=True) if not line["answer"]]
    return Quality(
        told=len(told),
        found=sum(value in source for (_, source), value in told),
        right=sum(value in text_output for (text_output, _), value in told),
        not_told=len(rest),
        refused=sum("do not say" in text_output for text_output, _ in rest),
    )


def _answer(url: str, question: str) -> tuple[str, str]:
    """The answer and the first source."""
    given = tensor("documents", [d.encode() for d in documents()], "BYTES")
    stream = OpenStream(url, "rag_cancellable", [text("question", question), given])
    response, error = stream.next(timeout_s=300)
    stream.close()
    if error:
        raise error
    names = ("text_output", "sources")
    answer, source = (str(response.as_numpy(name)[0].decode()) for name in names)
    return answer, source


def _runner(ask: Ask, asked: list[str], passages: list[str], concurrent: int) -> Run:
    """Each request has passages of its own, so that no prompt is in a prefix cache."""

    def one(question: str) -> str:
        number = next(_numbers)
        return ask(question, [f"({number}) {passage}" for passage in passages])

    def run() -> float:
        with ThreadPoolExecutor(concurrent) as pool:
            list(pool.map(one, asked))
        return len(asked)

    return run
