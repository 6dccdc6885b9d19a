"""What must hold before a figure counts: the same answers as the references; and what it takes."""

import functools
import time
from collections.abc import Sequence
from itertools import islice

from tritonclient.grpc import InferenceServerClient

from tests.bench import equality
from tests.bench.context import Context
from tests.bench.machine import resident_mib
from tests.bench.peer_process import PEERS, post
from tests.bench.results import OURS, SAME_SOURCE, Fact
from tests.load.workloads import Rag, documents, numbered, rags
from tests.server.conftest import tensor, text

COMPARED = 8
IDLE_S = 5.0

LONGEST_NUMBER = "9999999.999"
"""A whole `make bench` numbers some million texts."""


@functools.cache
def passages(url: str) -> list[str]:
    """Passages of the collection as our splitter cuts it, so short that they stay whole with a
    number before each sentence: every variant does the same work.
    """
    found = _split(url, documents())[0]
    whole = _split(url, [numbered(passage, LONGEST_NUMBER) for passage in found])[1]
    return [passage for i, passage in enumerate(found) if whole.count(i) == 1]


def measure(context: Context) -> None:
    """Equality with the reference implementations, and the peers' sources."""
    same = equality.measure(context.services.url)
    context.recorder.note(
        Fact("lowest cosine of `embed` to sentence-transformers in fp32", same.lowest_cosine),
        Fact(
            "largest difference of a `rerank` logit to transformers",
            same.largest_logit_difference,
        ),
        *_equal_sources(context),
    )


def _equal_sources(context: Context) -> list[Fact]:
    """How often each peer finds our first source. Answers differ: our LLM has other weights."""
    services = context.services
    asked = list(islice(rags(passages(services.url), 10), COMPARED))
    ours = _first_sources(services.url, asked)
    facts = []
    for name in PEERS:
        if peer := services.started_peer(name):
            theirs = [post(peer, request)["source"] for request in asked]
            equal = sum(a == b for a, b in zip(ours, theirs, strict=True))
            facts.append(Fact(f"{SAME_SOURCE}{name}", equal, COMPARED))
    return facts


def _first_sources(url: str, asked: Sequence[Rag]) -> list[str]:
    client = InferenceServerClient(url)
    found = []
    for request in asked:
        given = tensor("documents", [each.encode() for each in request.passages], "BYTES")
        answer = client.infer("retrieve", [text("question", request.question), given])
        found.append(answer.as_numpy("sources")[0].decode())
    client.close()
    return found


def resources(context: Context) -> None:
    """Start-up, memory, and what the peers take while others are measured."""
    services = context.services
    server = services.server
    facts = [Fact("start-up until every model is ready, s", services.start_s)]
    found = resident_mib(server.pid)
    facts += [Fact(f"memory of `{name}`, MiB", mib) for name, mib in sorted(found.items())]
    facts.append(Fact(f"memory of {OURS}, MiB", sum(found.values())))
    for name in PEERS:
        services.started_peer(name)
    peers = services.running_peers()
    before = {name: peer.cpu_s() for name, peer in peers.items()}
    time.sleep(IDLE_S)
    for name, peer in peers.items():
        facts.append(Fact(f"memory of {name}, MiB", peer.resident_mib()))
        idle = (peer.cpu_s() - before[name]) / IDLE_S
        facts.append(Fact(f"cores of {name} while idle", idle))
    context.recorder.note(*facts)


def _split(url: str, texts: list[str]) -> tuple[list[str], list[int]]:
    """Passages, and the index of the text that each is of."""
    client = InferenceServerClient(url)
    given = tensor("documents", [each.encode() for each in texts], "BYTES")
    found = client.infer("passage_splitter", [text("question", "any"), given])
    client.close()
    cut = [passage.decode() for passage in found.as_numpy("passages")]
    return cut, found.as_numpy("passage_document").tolist()
