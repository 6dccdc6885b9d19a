"""Reads a request's JSON into its protocol's model; errors name the field.

Errors give the type of what was found, never the value: values may be prompts.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gateway.errors import BadRequest

Json = dict[str, Any]
"""An object of JSON."""

Refused = Sequence[tuple[str, Sequence[str]]]
"""Fields that are refused if they ask for something: pairs of a reason and names."""


class Body(BaseModel):
    """A request, or a part of one. Unknown fields are ignored, as its API does."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")
    refused: ClassVar[Refused] = ()


class StrictBody(Body):
    """A request of an API that refuses unknown fields."""

    model_config = ConfigDict(extra="forbid")
    ignored: ClassVar[Sequence[str]] = ()
    """Fields without an effect: hints about caching, billing, safety and amount of thinking."""

    @model_validator(mode="before")
    @classmethod
    def _without_what_asks_for_nothing(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        dropped = {*cls.ignored, *(name for _, names in cls.refused for name in names)}
        return {n: each for n, each in body.items() if each is not None and n not in dropped}


class Part(Body):
    """A part of a content; its text is in `text`, or in `refusal` if that is its type."""

    type: str
    text: str | None = None
    refusal: str | None = None


_T = TypeVar("_T")
Each = Annotated[list[_T], Field(fail_fast=True)]
"""A list that is refused at its first wrong member. A body can have millions, and pydantic would
collect an error of each member for each type of a union: no other client is served meanwhile."""

Content = str | Each[Part]

BodyT = TypeVar("BodyT", bound=Body)

_TYPE = re.compile(r"str|int|float|bool|dict|[A-Z]\w*|\w+\[.*")
"""Steps of pydantic's locations that name a member of a union and not a field."""
_ASKS_FOR_NOTHING: tuple[Any, ...] = (
    *(None, False, 0, "", [], {}, "auto", "none", "disabled"),
    *({"type": "disabled"}, {"enable_thinking": False}, {"thinking": False}),
)
_CALLS_NOTHING: tuple[Any, ...] = ("none", "NONE", {"type": "none"})


def read(model: type[BodyT], body: Any, within: str = "") -> BodyT:
    """The request; null counts as not given. Raises `BadRequest` for the first wrong field. For a
    part of a request, `within` is put before the names of fields."""
    if not isinstance(body, dict):
        message = "a JSON object is needed"
        raise BadRequest.at(within[:-1], message) if within else BadRequest(message)
    for why, names in model.refused:
        for name in names:
            refuse(within + name, body.get(name), why)
    try:
        return model.model_validate({n: each for n, each in body.items() if each is not None})
    except ValidationError as error:
        raise _refusal(error, within) from None


def _refusal(error: ValidationError, within: str) -> BadRequest:
    # Every type of a union gives errors; the type that matched furthest is what the client meant.
    found = max(error.errors(include_input=False, include_url=False), key=lambda e: len(e["loc"]))
    steps = [str(step) for step in found["loc"]]
    named = ".".join(s for i, s in enumerate(steps) if not i or not _TYPE.fullmatch(s))
    field = (within + named)[:100].rstrip(".")
    message = "is not a field of this API" if found["type"] == "extra_forbidden" else found["msg"]
    return BadRequest.at(field, message) if field else BadRequest(message)


def refuse(field: str, given: Any, why: str) -> None:
    """Raises `BadRequest` if the field asks for something."""
    if given not in _ASKS_FOR_NOTHING:
        raise BadRequest.at(field, f"not offered; {why}")


def calls_nothing(choice: Any) -> bool:
    """Whether the field `tool_choice` says that no tool may be called."""
    return choice in _CALLS_NOTHING


def refuse_thinking(thinking: Any) -> None:
    """Raises `BadRequest` if the field `thinking` (Anthropic, Cohere) asks for thinking.

    `adaptive` leaves that to the model, and this one answers at once.
    """
    kind = thinking.get("type") if isinstance(thinking, dict) else thinking
    if kind not in (None, "adaptive", "disabled"):
        raise BadRequest.at("thinking", 'not offered; {"type": "disabled"} is')


def text_of(
    content: Content, field: str, types: Sequence[str] = ("text",), role: str = "user"
) -> str:
    """The content's text, or the joined texts of its parts; raises `BadRequest` for other parts."""
    if isinstance(content, str):
        return content
    parts = [part_text(part, f"{field}.{i}", types) for i, part in enumerate(content)]
    return joined(parts, role)


def joined(parts: Sequence[str], role: str) -> str:
    """The text of one turn. Its parts become lines, as in vLLM and TensorRT-LLM, because clients
    send whole texts as parts. An answer's parts are joined: they are one text, cut by citations.
    """
    return ("" if role == "assistant" else "\n").join(parts)


def part_text(part: Part, field: str, types: Sequence[str] = ("text",)) -> str:
    """The text of one part; raises `BadRequest` for one of another type."""
    if part.type not in types:
        possible = ", ".join(types)
        raise BadRequest.at(f"{field}.type", f"{part.type[:40]!r} given; {possible} is possible")
    named = "refusal" if part.type == "refusal" else "text"
    text: str | None = getattr(part, named)
    if text is None:
        raise BadRequest.at(f"{field}.{named}", "missing")
    return text
