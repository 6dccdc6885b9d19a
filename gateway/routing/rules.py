"""Declared rules: the first that fits a call names its models, in the order to try them."""

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from gateway.call import Embed, Generate, Other, Rank, Request, Search
from gateway.errors import NotFound
from gateway.guards.rules import RuleError, hook
from gateway.table import Count
from gateway.texts import texts_of

AUTO = "auto"
BYTES = 4
"""Bytes of UTF-8 per token, approximately."""

_Models = Annotated[tuple[str, ...], Field(min_length=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Rule:
    """The models of `auto` for calls of this task with at most so many `estimated_tokens`."""

    name: Annotated[str, Field(pattern=r"^[\w-]{1,64}$")]
    models: _Models
    """Models in the order to try them: the next one answers if one fails before its first event."""
    task: Literal["", "chat", "rag", "embed", "rank"] = ""
    """The task of the calls; empty: any task."""
    max_prompt_tokens: Count | None = None
    label: str = ""
    """The label that the classifier must give the text; empty: any label."""

    def fits(self, task: str, prompt_tokens: int, label: str) -> bool:
        is_short = self.max_prompt_tokens is None or prompt_tokens <= self.max_prompt_tokens
        return self.task in ("", task) and is_short and self.label in ("", label)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Router:
    """The table `[routing]` of the settings."""

    rules: tuple[Rule, ...] = ()
    """Rules of the model `auto`; the first that fits is used."""
    fallbacks: Mapping[str, _Models] = field(default_factory=dict)
    """Models that replace a failing one that was asked by name."""
    classifier: str = ""
    """The operator's function, as package.module:function, from the asked text to a label."""

    def concerns(self, request: Request) -> bool:
        return request.model == AUTO or request.model in self.fallbacks


def task_of(request: Request) -> str:
    match request:
        case Generate(documents=documents, collection=collection):
            return "rag" if documents or collection else "chat"
        case Embed():
            return "embed"
        case Rank():
            return "rank"
        case Search():
            return "search"
        case Other():
            return "other"


def estimated_tokens(request: Request) -> int:
    """Tokens of the input, estimated by bytes: only the model, not chosen yet, could count them."""
    if isinstance(request, Embed) and request.token_ids:
        return sum(map(len, request.token_ids))
    return sum(len(text.encode("utf-8", "replace")) for _, text in texts_of(request)) // BYTES + 1


Classify = Callable[[str], str]


def classifier(router: Router) -> Classify:
    """The router's classifier; raises RuleError if it is missing though rules need one."""
    if router.classifier:
        return hook(router.classifier)
    if labelled := [rule.name for rule in router.rules if rule.label]:
        raise RuleError(f"rule {labelled[0]!r} has a label, and there is no classifier")
    return str


def asked_text(request: Request) -> str:
    """The last message, the prompt or the query; empty where there is none."""
    match request:
        case Generate(messages=(*_, last)):
            return last.content
        case Generate(prompt=text) | Rank(query=text):
            return text
    return ""


def choose(request: Request, router: Router, classify: Classify) -> tuple[tuple[str, ...], str]:
    """The models to try for a call, in order, and why these.

    For `auto` a rule decides, else it is the named model and its fallbacks. Raises NotFound if no
    rule fits.
    """
    if request.model != AUTO:
        return (request.model, *router.fallbacks.get(request.model, ())), "asked for"
    task, prompt_tokens = task_of(request), estimated_tokens(request)
    label = classify(asked_text(request)) if router.classifier else ""
    for rule in router.rules:
        if rule.fits(task, prompt_tokens, label):
            return rule.models, f"rule {rule.name}: {task}, about {prompt_tokens} tokens"
    raise NotFound(
        f"model 'auto': no rule fits {task} with about {prompt_tokens} tokens; "
        f"rules are {', '.join(rule.name for rule in router.rules) or 'not configured'}",
        field="model",
    )
