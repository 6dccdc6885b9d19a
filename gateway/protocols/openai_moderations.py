"""OpenAI's `/v1/moderations`: which of the gateway's own rules a text breaks."""

from collections.abc import AsyncGenerator

import orjson
from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from gateway.call import Call, Event, Finished, Other, Relayed, Usage
from gateway.errors import NotFound
from gateway.guards.rules import Rule, broken_rules
from gateway.protocols.reading import Each, Json, Part, StrictBody, part_text, read
from gateway.protocols.request import json_body, new_call, openapi_body, service
from gateway.protocols.response import Complete, relayed

router = APIRouter(tags=["OpenAI"])


class ModerationsRequest(StrictBody):
    """`input` is a text, texts, or the parts of one message."""

    ignored = ("model",)

    input: str | Each[str] | Each[Part] = Field(min_length=1)


def texts(request: ModerationsRequest) -> list[str]:
    """The texts to check, one by one; raises `BadRequest` for a part that is no text."""
    given = [request.input] if isinstance(request.input, str) else request.input
    return [
        part_text(item, f"input.{index}") if isinstance(item, Part) else str(item)
        for index, item in enumerate(given)
    ]


def response(request_id: str, rules: tuple[Rule, ...], judged: list[str]) -> Json:
    """The response: each rule is a category, broken (score 1) or not (score 0)."""
    return {
        "id": f"modr-{request_id}",
        "model": "rules",
        "results": [_result(rules, broken_rules(rules, text)) for text in judged],
    }


def _result(rules: tuple[Rule, ...], broken: list[str]) -> Json:
    categories = {rule.name: rule.name in broken for rule in rules}
    return {
        "flagged": bool(broken),
        "categories": categories,
        "category_scores": {name: float(is_broken) for name, is_broken in categories.items()},
        "category_applied_input_types": {name: ["text"] for name in categories},
    }


@router.post("/v1/moderations", openapi_extra=openapi_body(ModerationsRequest))
async def moderations(request: Request) -> Response:
    """Say which rules a text breaks."""
    asked = read(ModerationsRequest, json_body(request))
    rules = service(request).guards.rules
    if not rules:
        raise NotFound("moderations: this gateway has no rules; its [guards.rules] may set some")
    judged, call = texts(asked), new_call(request, Other())

    async def judge(call: Call) -> AsyncGenerator[Event, None]:
        yield Relayed(orjson.dumps(response(call.request_id, rules, judged)))
        yield Finished("", Usage())

    return Complete(call, relayed(call, service(request).counted(judge)(call)))
