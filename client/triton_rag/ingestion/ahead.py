"""Computes results before they are needed: in threads, in order, a limited number."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def map_ahead(work: Callable[[T], R], items: Iterable[T], threads: int, ahead: int) -> Iterator[R]:
    """The results in the order of the items. At most `ahead` are computed and not yet taken.

    An error of `work` is raised in the place of its result. After it, or when the caller stops,
    nothing new is begun, and running calls, which take seconds, are not waited for.
    """
    waiting, begun = iter(items), deque[Future[R]]()
    pool = ThreadPoolExecutor(threads)
    try:
        begun.extend(pool.submit(work, item) for item in islice(waiting, ahead))
        while begun:
            result = begun.popleft().result()
            begun.extend(pool.submit(work, item) for item in islice(waiting, 1))
            yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
