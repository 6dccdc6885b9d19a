"""Results that are computed ahead of their reader: in threads, in order, a bounded number."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def map_ahead(work: Callable[[T], R], items: Iterable[T], threads: int, ahead: int) -> Iterator[R]:
    """The results in the order of the items. At most `ahead` are made and not yet taken.

    An error of `work` is raised where its result would be. What has not begun then, or when the
    reader stops, is not begun; what has is not waited for, since a call takes seconds.
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
