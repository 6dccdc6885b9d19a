"""Loads that will never end: Triton (2.51) waits for a process that died before it was loaded."""

import contextlib
from collections.abc import Iterator

from operations.supervisor.processes import Found


class Loads:
    """The supervisor's own loads, and the processes that die during them without being met alive.

    A process may die sooner after its start than it is looked for, and a dead one doesn't tell
    whose it was. Those of other people's loads are met while none of ours is under way.
    """

    def __init__(self, lost_s: float) -> None:
        self._lost_s = lost_s
        self._loading: set[str] = set()
        self._met: set[int] = set()
        self._strange: dict[int, float] = {}
        """Dead ones that were not met, and since when."""

    def __contains__(self, model: object) -> bool:
        return model in self._loading

    @contextlib.contextmanager
    def under_way(self, model: str) -> Iterator[None]:
        """While the block runs, the model is being loaded."""
        self._loading.add(model)
        try:
            yield
        finally:
            self._loading.discard(model)

    def lost(self, found: Found, now_s: float) -> str:
        """A model that is being loaded when a process has been strange for `lost_s`; or none."""
        self._met.update(one.pid for one in found.living)
        if not self._loading:
            self._met.update(found.dead)
        self._strange = {p: self._strange.get(p, now_s) for p in found.dead - self._met}
        since_s = min(self._strange.values(), default=now_s)
        return min(self._loading, default="") if now_s - since_s >= self._lost_s else ""
