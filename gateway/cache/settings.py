"""The table `[cache]` of the settings."""

from typing import Annotated

from pydantic import Field

from gateway.shared_store import StoreUrl
from gateway.table import NUMBER, Count, Table


class CacheSettings(Table):
    """Both caches are off by default."""

    enabled: bool = False
    """The exact one."""
    url: StoreUrl = ""
    """Valkey or Redis that several gateways share; empty: in the gateway's own memory."""
    ttl_s: Annotated[float, NUMBER, Field(gt=0)] = 600.0
    memory_bytes: Count = 256 * 2**20
    """For all entries, in the gateway's own memory; Valkey has its own bound."""
    entry_bytes: Count = 4 * 2**20
    """A larger answer is not kept: 512 embeddings of 384 numbers have 1 MiB."""
    semantic_threshold: Annotated[float, NUMBER, Field(ge=0.8, le=1)] | None = None
    """Least cosine of two questions over the same documents that share an answer, in this gateway's
    own memory. See the measured similarities in gateway/cache/semantic.py."""
