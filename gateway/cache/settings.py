"""The table `[cache]` of the settings."""

from typing import Annotated

from pydantic import Field

from gateway.shared_store import StoreUrl
from gateway.table import NUMBER, Count, Table


class CacheSettings(Table):
    """Both caches are off by default."""

    enabled: bool = False
    """Whether the exact cache is on."""
    url: StoreUrl = ""
    """URL of a Valkey or Redis that several gateways share; empty: the gateway's own memory."""
    ttl_s: Annotated[float, NUMBER, Field(gt=0)] = 600.0
    memory_bytes: Count = 256 * 2**20
    """Most bytes of all entries in the gateway's own memory; Valkey has its own limit."""
    entry_bytes: Count = 4 * 2**20
    """Most bytes of an answer that is kept: 512 embeddings of 384 numbers have 1 MiB."""
    semantic_threshold: Annotated[float, NUMBER, Field(ge=0.8, le=1)] | None = None
    """Least cosine with which two questions over the same documents share an answer; None: off. The
    cache is in the gateway's own memory. gateway/cache/semantic.py has measured cosines."""
