"""The table `[routing]` of the settings."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.routing.routed import Router
from gateway.routing.routes import Route

_Models = Annotated[tuple[str, ...], Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RuleSettings(_Table):
    """One rule of `auto`."""

    name: Annotated[str, Field(pattern=r"^[\w-]{1,64}$")]
    models: _Models
    """The next one answers when one fails before its first event."""
    task: Literal["", "chat", "rag", "embed", "rank"] = ""
    max_prompt_tokens: Annotated[int, Field(ge=1)] | None = None
    """About: a token has four bytes here."""


class RoutingSettings(_Table):
    rules: tuple[RuleSettings, ...] = ()
    """What the model `auto` is; the first that fits."""
    fallbacks: dict[str, _Models] = {}
    """Models that stand in for one that is asked for by name."""

    def router(self) -> Router:
        routes = [Route(r.name, r.models, r.task, r.max_prompt_tokens) for r in self.rules]
        return Router(tuple(routes), self.fallbacks)
