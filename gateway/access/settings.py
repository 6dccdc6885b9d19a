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
    """Hosts that requests may name in addition to this machine where there are no keys, such as a
    proxy in front of the gateway."""
    counts: StoreUrl = ""
    """URL of the Valkey or Redis in which gateways share the counts of limits; empty: each gateway
    counts for itself."""
    ledger: Path | None = None
    """SQLite file with the usage of every key; without it usage is not stored."""
    tiers: dict[str, Tier] = Field(default_factory=dict)
    """Limits and weights, by the name that keys give; `default` is for keys that name none."""
    context_tokens: Count = _ASSUMPTIONS.context_tokens
    """Most tokens that a model reads at once, which limits what a request reserves."""
    default_max_tokens: Count = _ASSUMPTIONS.default_max_tokens
    """Tokens that are reserved for an answer whose request has no `max_tokens`."""
    generating: Room = Room()
    encoding: Room = Room()
    """Room for embeddings and ranks."""

    @property
    def assumptions(self) -> Assumptions:
        return Assumptions(self.context_tokens, self.default_max_tokens)
