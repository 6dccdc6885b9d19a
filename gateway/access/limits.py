"""Limits of a key: reserved before a request is forwarded, settled when it ends or fails.

Tokens are reserved at their bound (input and `max_tokens`) in the minute in which their request is
admitted, and settled with what was used, in the same minute. So nothing that a client does in
between, such as leaving a stream, lets a key exceed a limit or lose tokens. The reservations of a
killed gateway stay at their bound for the rest of the minute.
"""

from dataclasses import dataclass

from gateway.access.counts import Counts, Taken
from gateway.access.demand import Demand
from gateway.access.tiers import Limits
from gateway.errors import BadRequest, Limited

_ASKED = {
    "requests": "requests per minute",
    "tokens": "tokens per minute",
    "streams": "generations at a time",
}


@dataclass(slots=True)
class Reservation:
    """What one request has reserved of its key's limits."""

    key_id: str
    tokens: int
    stream: str
    """Name of its place among the concurrent streams; empty: it has none."""
    tick: int
    headers: dict[str, str]
    """What is left of the limits, as OpenAI's clients read it."""


class Limiter:
    """Reserves and settles, over a store of counts."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    async def reserve(
        self, key_id: str, limits: Limits, demand: Demand, stream: str
    ) -> Reservation | None:
        """Reserve for one request; None for a key without limits. Raises Limited or BadRequest:
        then nothing is reserved."""
        if not _counts_anything(limits):
            return None
        _refuse_what_never_fits(limits, demand)
        tokens = min(demand.tokens, limits.tokens_per_minute or demand.tokens)
        taken = await self._counts.take(key_id, limits, tokens, stream)
        if taken.refused:
            raise _limited(limits, tokens, taken)
        return Reservation(key_id, tokens, stream, taken.tick, headers(limits, taken))

    def adjust(self, reservation: Reservation, tokens: int) -> None:
        """Reserve `tokens` instead, once the number is known better."""
        if tokens != reservation.tokens:
            change = tokens - reservation.tokens
            self._counts.correct(reservation.key_id, reservation.tick, change)
            reservation.tokens = tokens

    def settle(self, reservation: Reservation, tokens: int) -> None:
        """Count what was used, and give the place back; call it once for each reservation."""
        self.adjust(reservation, tokens)
        if reservation.stream:
            self._counts.release(reservation.key_id, reservation.stream)

    async def close(self) -> None:
        await self._counts.close()


def headers(limits: Limits, taken: Taken) -> dict[str, str]:
    """The `x-ratelimit-…` headers; durations as OpenAI writes them."""
    found: dict[str, str] = {}
    rows = (
        ("requests", limits.requests_per_minute, taken.requests, taken.requests_reset_ms),
        ("tokens", limits.tokens_per_minute, taken.tokens, taken.tokens_reset_ms),
    )
    for name, limit, used, reset_ms in rows:
        if limit is not None:
            found[f"x-ratelimit-limit-{name}"] = str(limit)
            found[f"x-ratelimit-remaining-{name}"] = str(max(0, limit - used))
            found[f"x-ratelimit-reset-{name}"] = duration(reset_ms)
    return found


def duration(ms: int) -> str:
    """The duration as OpenAI writes it: 250ms, 1.5s, 1m0s."""
    if ms < 1000:
        return f"{ms}ms"
    minutes, rest_ms = divmod(ms, 60_000)
    seconds = f"{rest_ms / 1000:g}s"
    return f"{minutes}m{seconds}" if minutes else seconds


def _counts_anything(limits: Limits) -> bool:
    bounds = (limits.requests_per_minute, limits.tokens_per_minute, limits.concurrent_streams)
    return any(bound is not None for bound in bounds)


def _refuse_what_never_fits(limits: Limits, demand: Demand) -> None:
    most = limits.tokens_per_minute
    if most is not None and demand.least_tokens > most:
        raise BadRequest(
            f"the request takes at least {demand.least_tokens} tokens; the key has {most} per"
            " minute: send less, or a smaller max_tokens",
            field="max_tokens",
        )


def _limited(limits: Limits, tokens: int, taken: Taken) -> Limited:
    limit, used = {
        "requests": (limits.requests_per_minute, taken.requests),
        "tokens": (limits.tokens_per_minute, taken.tokens),
        "streams": (limits.concurrent_streams, taken.streams),
    }[taken.refused]
    asked = f", {tokens} asked for" if taken.refused == "tokens" else ""
    wait_s = taken.wait_ms / 1000
    refusal = Limited(
        f"the key has {limit} {_ASKED[taken.refused]}; {used} are used{asked};"
        f" try again in {wait_s:.1f} s",
        retry_after_s=wait_s,
    )
    refusal.headers = headers(limits, taken)
    return refusal
