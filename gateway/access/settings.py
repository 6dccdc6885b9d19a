"""The table `[access]` of the settings."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from gateway.access.admission import Room
from gateway.access.demand import Bounds
from gateway.access.tiers import Tier

_Count = Annotated[int, Field(ge=1)]
_BOUNDS = Bounds()


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RoomSettings(_Table):
    """What is in front of the models at a time; tokens are bounds of input and output."""

    running: _Count = 32
    running_tokens: _Count = 500_000
    waiting: _Count = 512
    waiting_tokens: _Count = 4_000_000
    reading_tokens: _Count = 8192
    """Bounds of prompts whose first token is still to come; one counts for half at most."""
    beside: Annotated[int, Field(ge=0)] | None = None
    """Most generations of one tenant that run while another is here, or was within 30 s; 0: no
    bound, None: as many as suit where `llm` computes."""

    def room(self, is_shared: bool) -> Room:
        return Room(**self.model_dump(), is_shared=is_shared)


class AccessSettings(_Table):
    """Keys, limits and the ledger; without keys every caller on this machine is let in."""

    keys: str = ""
    """JSON file that `python -m gateway keys` writes, or the URL of a PostgreSQL database."""
    counts: str = ""
    """URL of the Valkey or Redis where gateways share the counts of limits; empty: each its own."""
    ledger: Path | None = None
    """SQLite file of what every key uses; without it nothing is booked."""
    tiers: dict[str, Tier] = {}
    """Limits and weights by name; keys name theirs, `default` is for those that don't."""
    context_tokens: _Count = _BOUNDS.context_tokens
    """Most tokens that a model reads at once; bounds what a request reserves."""
    default_max_tokens: _Count = _BOUNDS.default_max_tokens
    """Tokens that are reserved for an answer whose request has no `max_tokens`."""
    generating: RoomSettings = RoomSettings()
    encoding: RoomSettings = RoomSettings()
    """For embeddings and ranks."""

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.context_tokens, self.default_max_tokens)
