"""The table `[cache]` of the settings."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class CacheSettings(BaseModel):
    """The exact cache; off by default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = False
    url: str = ""
    """Valkey or Redis that several gateways share; empty: in the gateway's own memory."""
    ttl_s: Annotated[float, Field(gt=0)] = 600.0
    memory_bytes: Annotated[int, Field(ge=1)] = 256 * 2**20
    """For all entries, in the gateway's own memory; Valkey has its own bound."""
    entry_bytes: Annotated[int, Field(ge=1)] = 4 * 2**20
    """A larger answer is not kept: 512 embeddings of 384 numbers have 1 MiB."""
