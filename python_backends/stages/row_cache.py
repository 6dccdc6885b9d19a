"""Rows that an encoder has computed before, kept by what they were computed from.

Users ask many questions over the same documents, and send the documents each time. Triton's own
response cache can't be used for that: it keeps whole requests, and refusals too, which it then
gives out as empty successes (docs/decisions/0016).
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

from python_backends.stage import Array

Compute = Callable[[list[int]], Sequence[Array]]
"""Results of the rows with these numbers, in this order."""


class RowCache:
    """Holds at most `capacity` rows, least recently used first out; 0 holds none.

    Not thread-safe, like the engine in front of which it stands.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._rows: OrderedDict[bytes | int, Array] = OrderedDict()

    def results(self, keys: Sequence[bytes], compute: Compute) -> list[Array]:
        """One result for each key; equal keys and known ones are computed once.

        An empty key is of a row that is always computed and never kept.
        """
        names = [key or number for number, key in enumerate(keys)]
        missing = {name: n for n, name in enumerate(names) if name not in self._rows}
        computed = compute(list(missing.values())) if missing else ()
        new = dict(zip(missing, computed, strict=True))
        found = [new[name] if name in new else self._recalled(name) for name in names]
        for name, result in new.items():
            self._keep(name, result)
        return found

    def _recalled(self, name: bytes | int) -> Array:
        self._rows.move_to_end(name)
        return self._rows[name]

    def _keep(self, name: bytes | int, result: Array) -> None:
        """Unless it must not be: what an engine in trouble gave is an error soon after."""
        if not self._capacity or isinstance(name, int) or not np.isfinite(result).all():
            return
        # A row of a batch is a view: kept as it is, it would hold the whole batch's memory.
        self._rows[name] = np.array(result)
        if len(self._rows) > self._capacity:
            self._rows.popitem(last=False)
