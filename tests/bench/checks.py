"""What must hold before a figure counts: the same answers as the references; and what it takes."""

import functools
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from tritonclient.grpc import InferenceServerClient

from tests.bench import equality, quality
from tests.bench.context import Context
from tests.bench.machine import resident_mib
from tests.bench.peer_process import PEERS, post
from tests.bench.quality import ask
from tests.bench.results import OURS, Fact
from tests.load.workloads import documents, rags
from tests.server.conftest import tensor, text

COMPARED = 24
IDLE_S = 5.0


LONGEST_NUMBER = "(99999999.999) "
"""A whole `make bench` numbers some million texts."""


@functools.cache
def passages(url: str) -> list[str]:
    """Passages of the collection as our splitter cuts it, so short that they stay whole with a
    number before them: every variant does the same work.
    """
    numbered = [f"{LONGEST_NUMBER}{passage}" for passage in _split(url, documents())[0]]
    whole = _split(url, numbered)[1]
    return [p.removeprefix(LONGEST_NUMBER) for i, p in enumerate(numbered) if whole.count(i) == 1]


def measure(context: Context) -> None:
    """Equality with the reference implementations, quality, and the peers' answers."""
    url = context.services.url
    same = equality.measure(url)
    good = quality.measure(url)
    context.recorder.note(
        Fact("lowest cosine of `embed` to sentence-transformers in fp32", same.lowest_cosine),
        Fact(
            "largest difference of a `rerank` logit to transformers",
            same.largest_logit_difference,
        ),
        Fact(
            f"greedy texts of `llm` equal to transformers, {equality.NEW_TOKENS} tokens",
            same.equal_prompts,
            equality.PROMPTS,
        ),
        Fact("a passage with the answer is the first source", good.found, good.told),
        Fact("the answer holds the exact value", good.right, good.told),
        Fact("not told there, and the LLM says so", good.refused, good.not_told),
        *_equal_answers(context),
    )


def _equal_answers(context: Context) -> list[Fact]:
    """How many answers of each peer equal ours."""
    url, services = context.services.url, context.services
    asked = list(islice(rags(passages(url), 10), COMPARED))
    with ThreadPoolExecutor(4) as pool:
        ours = list(pool.map(lambda r: ask(url, "rag", r.question, list(r.passages))[0], asked))
    facts = []
    for name in PEERS:
        if peer := services.started_peer(name):
            theirs = [post(peer, request)["answer"] for request in asked]
            equal = sum(a == b for a, b in zip(ours, theirs, strict=True))
            facts.append(Fact(f"answers of `rag` equal to those of {name}", equal, COMPARED))
    return facts


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
