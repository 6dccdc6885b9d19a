"""The kinds of requests that sections measure, and how long a run of each lasts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.bench import checks
from tests.bench.context import Context
from tests.load.workloads import Request, embeds, rags, rags_over_same, reranks

RAG_DOCUMENTS = 10


@dataclass(frozen=True)
class BenchWorkload:
    """A kind of request, how long a run of it lasts, and how many clients it is measured with.

    A question takes seconds of both cores: many clients would only wait, and time out.
    """

    name: str
    requests: Callable[[], Iterator[Request]]
    measure_s: float
    pool: int
    open_s: float
    rounds: int = 2
    """Fewest requests of a client, where there are few clients."""
    most_clients: int = 200
    most_peer_clients: int = 128


def workload_of(context: Context, name: str) -> BenchWorkload:
    """The workload of the section `name`."""
    match name:
        case "embed":
            return BenchWorkload(name, embeds, 1.5, 2048, 6.0)
        case "rerank":
            return BenchWorkload(name, reranks, 2.0, 512, 6.0)
        case _:
            return rag_workload(context, RAG_DOCUMENTS)


def rag_workload(context: Context, count: int) -> BenchWorkload:
    """`rag` over `count` passages, others in each request."""
    passages = checks.passages(context.services.url)
    pool = max(16, 1000 // count)
    return _questions(lambda: rags(passages, count), pool)


def same_questions(context: Context) -> BenchWorkload:
    """`rag` over the whole sample collection, the same in every request."""
    passages = checks.passages(context.services.url)
    return _questions(lambda: rags_over_same(passages), 32)


def _questions(requests: Callable[[], Iterator[Request]], pool: int) -> BenchWorkload:
    return BenchWorkload("rag", requests, 3.0, pool, 24.0, 1, most_clients=32, most_peer_clients=8)
