"""Limits of what a key may use: its tier's and its own."""

from typing import Annotated

from pydantic import Field

from gateway.table import NUMBER, Count, Table


class Limits(Table):
    """Limits of one key; None means no limit."""

    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    """Input and output tokens of all models together."""
    concurrent_streams: Count | None = None
    """Generations at a time, streamed or not."""
    max_tokens: Count | None = None
    """Longest answer."""
    max_input_tokens: Count | None = None
    """Longest prompt, in tokens of the model that is asked."""

    def changed_by(self, other: "Limits") -> "Limits":
        """These limits, replaced by those that `other` sets."""
        return self.model_copy(update=other.model_dump(exclude_none=True))


class Tier(Limits):
    """Limits of many keys, and the share of the server that their tenants get."""

    weight: Annotated[float, NUMBER, Field(gt=0, le=1000)] = 1.0
    """A tenant of weight 2 gets twice the tokens of one of weight 1 while both wait."""


UNLIMITED = Tier()

DEFAULT_TIER = "default"
"""The tier of a key that names none, and of all callers where there are no keys."""
