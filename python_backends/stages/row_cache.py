"""A cache of rows that an encoder has computed.

Users ask many questions about the same documents and send the documents each time. Triton's own
response cache does not help: it stores whole requests, and also errors, which it then returns as
empty successes (docs/decisions/0016).
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

from python_backends.tensors import Array

Compute = Callable[[list[int]], Sequence[Array]]
"""Row numbers to the results of these rows, in order."""


class RowCache:
    """A least-recently-used cache of at most `capacity` rows. Not thread-safe."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._rows: OrderedDict[bytes | int, Array] = OrderedDict()

    def results(self, keys: Sequence[bytes], compute: Compute) -> list[Array]:
        """One result per key; `compute` is called for the unknown keys only, once per key.

        A row with an empty key is always computed and never stored.
        """
        names = [key or number for number, key in enumerate(keys)]
        missing = {name: n for n, name in enumerate(names) if name not in self._rows}
        computed = compute(list(missing.values())) if missing else ()
        new = dict(zip(missing, computed, strict=True))
        found = [new[name] if name in new else self._get(name) for name in names]
        for name, result in new.items():
            self._put(name, result)
        return found

    def _get(self, name: bytes | int) -> Array:
        self._rows.move_to_end(name)
        return self._rows[name]

    def _put(self, name: bytes | int, result: Array) -> None:
        # NaN and infinity come from a faulty engine: the next request may get a right result.
        if not self._capacity or isinstance(name, int) or not np.isfinite(result).all():
            return
        # A copy, because the row is a view and would keep the whole batch's memory.
        self._rows[name] = np.array(result)
        if len(self._rows) > self._capacity:
            self._rows.popitem(last=False)
