"""How much was used in the last minute, exactly enough for limits that hold.

A window counts in ticks of half a second. What was used is remembered with the tick in which its
request was admitted, for a minute and one tick, so that no minute ever holds more than the limit
and at most 1 % of it is lost. What a reservation did not need is given back to its tick.
"""

TICK_MS = 500
WINDOW_TICKS = 60_000 // TICK_MS + 1


class Window:
    """Amounts of the last minute by tick. Times are in ms and never go back."""

    def __init__(self) -> None:
        self._amounts: dict[int, int] = {}
        """In order of ticks."""
        self._total = 0

    def total(self, now_ms: int) -> int:
        oldest = now_ms // TICK_MS - WINDOW_TICKS + 1
        while self._amounts and (first := next(iter(self._amounts))) < oldest:
            self._total -= self._amounts.pop(first)
        return self._total

    def add(self, now_ms: int, amount: int) -> int:
        """Counts an amount; returns its tick."""
        tick = now_ms // TICK_MS
        self._amounts[tick] = self._amounts.get(tick, 0) + amount
        self._total += amount
        return tick

    def correct(self, tick: int, amount: int) -> None:
        """Adds an amount, usually below 0, to a tick that still counts."""
        if tick in self._amounts:
            self._amounts[tick] += amount
            self._total += amount

    def free_after_ms(self, now_ms: int, amount: int) -> int:
        """How long until `amount` of what counts now counts no more."""
        freed = 0
        for tick, counted in self._amounts.items():
            freed += counted
            if freed >= amount:
                return (tick + WINDOW_TICKS) * TICK_MS - now_ms
        return 0
