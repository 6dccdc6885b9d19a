"""The table `[access]` of the settings."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from gateway.access.admission import Room
from gateway.access.demand import Assumptions
from gateway.access.key_stores import Keys
from gateway.access.tiers import Tier
from gateway.shared_store import StoreUrl
from gateway.table import Count, Table

_ASSUMPTIONS = Assumptions()


def _host(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise PydanticCustomError("host", "a name is needed, without scheme and port")
    return text.lower()


Host = Annotated[str, AfterValidator(_host)]
_NAME = re.compile(r"[\w.:-]+")


class AccessSettings(Table):
    """Keys, limits and the ledger; without keys every caller on this machine is accepted."""

    keys: Keys = ""
    """JSON file that `python -m gateway keys` writes, or the URL of a PostgreSQL database."""
    hosts: tuple[Host, ...] = ()
    """Names beside this machine's own by which it may be asked where there are no keys, such as
    those of a proxy in front of it."""
    counts: StoreUrl = ""
    """URL of the Valkey or Redis where gateways share the counts of limits; empty: each its own."""
    ledger: Path | None = None
    """SQLite file of what every key uses; without it nothing is booked."""
    tiers: dict[str, Tier] = Field(default_factory=dict)
    """Limits and weights by name; keys name theirs, `default` is for those that don't."""
    context_tokens: Count = _ASSUMPTIONS.context_tokens
    """Most tokens that a model reads at once; bounds what a request reserves."""
    default_max_tokens: Count = _ASSUMPTIONS.default_max_tokens
    """Tokens that are reserved for an answer whose request has no `max_tokens`."""
    generating: Room = Room()
    encoding: Room = Room()
    """For embeddings and ranks."""

    @property
    def assumptions(self) -> Assumptions:
        return Assumptions(self.context_tokens, self.default_max_tokens)
