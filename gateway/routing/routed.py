"""The router: a handler that chooses the model and, before the first event, tries the next."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from gateway.call import Call, Event, Handler
from gateway.errors import DeadlinePassed, GatewayError, NotFound, Unavailable, UpstreamFailed
from gateway.routing.rules import Classify, Router, choose, classifier

HEADER = "x-router"
_FAILURES = (DeadlinePassed, NotFound, Unavailable, UpstreamFailed)
_log = logging.getLogger(__name__)


def routed(inner: Handler, router: Router) -> Handler:
    """Gives a call to the model that `router` chooses; the header `x-router` says which and why.
    Raises RuleError for a missing classifier.

    If a model fails before its first event, the next one of the chain is asked. Later its error is
    the answer: a client never gets the beginnings of two answers.
    """

    classify = classifier(router)

    def handle(call: Call) -> AsyncGenerator[Event, None]:
        if not router.concerns(call.request):
            return inner(call)
        return _attempts(inner, call, router, classify)

    return handle


async def _attempts(
    inner: Handler, call: Call, router: Router, classify: Classify
) -> AsyncGenerator[Event, None]:
    asked, failures = call.request, list[str]()
    models, reason = choose(asked, router, classify)
    for number, model in enumerate(models, 1):
        call.request, call.usage = replace(asked, model=model), None
        call.headers[HEADER] = "; ".join([f"model={model}", f"reason={reason}", *failures])
        has_begun = False
        try:
            async with aclosing(inner(call)) as answer:
                async for event in answer:
                    has_begun = True
                    yield event
            return
        except _FAILURES as error:
            if has_begun or number == len(models) or _is_over(call):
                raise
            failures.append(f"{model} failed with {error.status}")
            _log_fallback(call, model, error)


def _is_over(call: Call) -> bool:
    """Whether the request's own deadline has passed, which no other model could keep either."""
    return call.deadline is not None and asyncio.get_running_loop().time() >= call.deadline


def _log_fallback(call: Call, model: str, error: GatewayError) -> None:
    _log.warning("%s: %s failed (%d), the next model", call.request_id, model, error.status)
