"""Large requests of an encoder, computed in slices; small requests run between two slices."""

import threading
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

from python_backends.context import Gauge
from python_backends.tensors import Outputs

Work = Generator[None, None, Outputs | Exception]
"""Ends a slice with each `yield`, and returns the answer."""


class FairLock:
    """A lock that two threads get in turn, however soon one of them asks again."""

    def __init__(self) -> None:
        self._next, self._now = threading.Lock(), threading.Lock()

    def __enter__(self) -> None:
        with self._next:
            self._now.acquire()

    def __exit__(self, *_: object) -> None:
        self._now.release()


class LargeRequests:
    """A thread that computes one slice of each request in turn, and takes `engine_lock` for it."""

    def __init__(self, engine_lock: FairLock, gauge: Gauge) -> None:
        self._engine_lock, self._thread = engine_lock, ThreadPoolExecutor(1, "large-requests")
        self._gauge, self._lock, self._open = gauge, threading.Lock(), 0
        self._count(0)  # an earlier process may have died while it had some

    def submit(self, work: Work) -> Future[Outputs | Exception]:
        answer: Future[Outputs | Exception] = Future()
        self._count(+1)
        answer.add_done_callback(lambda _: self._count(-1))
        self._thread.submit(self._go_on, work, answer)
        return answer

    def close(self) -> None:
        """End the thread after the current slice; unfinished requests fail."""
        self._thread.shutdown()

    def _count(self, change: int) -> None:
        with self._lock:
            self._open += change
            self._gauge.set(self._open)

    def _go_on(self, work: Work, answer: Future[Outputs | Exception]) -> None:
        try:
            with self._engine_lock:
                next(work)
            self._thread.submit(self._go_on, work, answer)
        except StopIteration as end:
            answer.set_result(end.value)
        except Exception as error:
            answer.set_exception(error)
