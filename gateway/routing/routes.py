"""Declared rules: the first that fits a call names its models, in the order to try them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.call import Embed, Generate, Other, Rank, Request, Search
from gateway.errors import NotFound
from gateway.texts import texts_of

AUTO = "auto"
BYTES = 4
"""Bytes of UTF-8 in a token, about."""


@dataclass(frozen=True)
class Route:
    """Fits calls of its `task` (chat, rag, embed, rank; "" is any) with at most so many tokens,
    by `estimated_tokens`.
    """

    name: str
    models: tuple[str, ...]
    task: str = ""
    max_prompt_tokens: int | None = None

    def fits(self, task: str, prompt_tokens: int) -> bool:
        is_short = self.max_prompt_tokens is None or prompt_tokens <= self.max_prompt_tokens
        return self.task in ("", task) and is_short


@dataclass(frozen=True)
class Choice:
    """The models to try, in order, and why these."""

    models: tuple[str, ...]
    reason: str


def task_of(request: Request) -> str:
    match request:
        case Generate(documents=documents, within=within):
            return "rag" if documents or within else "chat"
        case Embed():
            return "embed"
        case Rank():
            return "rank"
        case Search():
            return "search"
        case Other():
            return "other"


def estimated_tokens(request: Request) -> int:
    """Tokens of the input, at four bytes each: only the model, not yet chosen, could count."""
    if isinstance(request, Embed) and request.token_ids:
        return sum(map(len, request.token_ids))
    return sum(len(text.encode("utf-8", "replace")) for _, text in texts_of(request)) // BYTES + 1


def choose(
    request: Request,
    routes: Sequence[Route],
    fallbacks: Mapping[str, Sequence[str]],
) -> Choice:
    """The models for a call: by rule for `auto`, else the named one and its fallbacks.

    Raises NotFound if no rule fits.
    """
    if request.model != AUTO:
        return Choice((request.model, *fallbacks.get(request.model, ())), "asked for")
    task, prompt_tokens = task_of(request), estimated_tokens(request)
    for route in routes:
        if route.fits(task, prompt_tokens):
            return Choice(route.models, f"rule {route.name}: {task}, about {prompt_tokens} tokens")
    raise NotFound(
        f"model 'auto': no rule fits {task} with about {prompt_tokens} tokens; "
        f"rules are {', '.join(route.name for route in routes) or 'not configured'}",
        field="model",
    )
