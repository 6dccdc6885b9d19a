"""Which answers may be cached, and under which key.

| request | may be cached |
|---|---|
| embeddings, relevance | always: the same text gets the same numbers |
| an answer at temperature 0 without a seed | if it ended, and was not cancelled |
| an answer at another temperature, or at the model's default | never: each is sampled anew |
| with a seed | never: seeds are for comparing runs |
| a search of a collection, an answer from one | never: the collection changes |
| errors, cancelled answers, streams that a client left | never |
"""

import hashlib
from dataclasses import replace
from typing import Any

import orjson

from gateway.call import Call, Embedded, Event, Finished, Generate, Other, Ranked, Request, Search

KEPT_REASONS = ("stop", "length", "tool_calls", "ungrounded")


def key_of(call: Call) -> str | None:
    """The key of this call's answer, or None if it may not be cached.

    The tenant is in it: no tenant gets, or learns of, the answers of another.
    """
    if not may_be_kept(call.request):
        return None
    parts: list[Any] = [call.caller.tenant, type(call.request).__name__, _asked(call.request)]
    return hashlib.blake2b(orjson.dumps(parts), digest_size=32).hexdigest()


def may_be_kept(request: Request) -> bool:
    """Whether the same request would have the same answer again."""
    match request:
        case Search() | Other():
            return False
        case Generate():
            sampling, is_fixed = request.sampling, request.collection is None
            return is_fixed and sampling.temperature == 0 and sampling.seed is None
    return True


def is_whole(last: Event | None) -> bool:
    """Whether an answer that ended with this event may be cached."""
    match last:
        case Finished(reason=reason):
            return reason in KEPT_REASONS
        case Embedded() | Ranked():
            return True
        case _:
            return False


def _asked(request: Request) -> Request:
    """The request without `stream`, on which the events of the answer do not depend."""
    return replace(request, stream=False) if isinstance(request, Generate) else request
