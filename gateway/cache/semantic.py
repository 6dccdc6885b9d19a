"""The semantic cache: a question over the same documents that was asked in other words before.

It is opt-in, and for answers over documents only. With all-MiniLM-L6-v2, the same question in other
words has a cosine of 0.96 and more ("Which port does it listen on?", "What port …"), and different
questions about one document up to 0.79. But "may" and "may not" have 0.97, "maximum" and "minimum"
0.90. So numbers and negations must be the same, and the threshold is high.
"""

import hashlib
import math
import re
import time
from array import array
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import orjson

from ensembles.embed import EMBED
from gateway.cache.events import as_cached
from gateway.cache.exact import HEADER
from gateway.cache.keys import may_be_kept
from gateway.call import MODEL_VERSION, Call, Embed, Embedded, Event, Finished, Generate, Handler
from gateway.errors import GatewayError

_TURNING = re.compile(r"\d+|\b(?:no|not|never|without|except|unless)\b|n't", re.IGNORECASE)
_SCOPES, _ENTRIES = 200, 16
"""Most sets of documents, and most questions about each: together at most about 60 MB and half a
millisecond per look-up."""

Vector = tuple[float, ...]


@dataclass(frozen=True)
class Kept:
    """One answered question; its vector has length 1."""

    marks: tuple[str, ...]
    vector: Vector
    events: Sequence[Event]
    version: str
    until_s: float


@dataclass(frozen=True)
class SemanticCache:
    """Answers in this process; those of the least recently used documents are dropped first."""

    threshold: float
    ttl_s: float
    clock: Callable[[], float] = time.monotonic
    _scopes: OrderedDict[str, list[Kept]] = field(default_factory=OrderedDict)

    def nearest(self, scope: str, question: str, vector: Vector) -> tuple[Kept, float] | None:
        """The cached answer to the most similar question, and its cosine; None below the
        threshold."""
        marks, now_s = marks_of(question), self.clock()
        alike = [
            (sum(map(float.__mul__, each.vector, vector)), number, each)
            for number, each in enumerate(self._scopes.get(scope, ()))
            if each.marks == marks and each.until_s > now_s
        ]
        if not alike or max(alike)[0] < self.threshold:
            return None
        self._scopes.move_to_end(scope)
        cosine, _, kept = max(alike)
        return kept, cosine

    def keep(self, scope: str, kept: Kept) -> None:
        entries = self._scopes.setdefault(scope, [])
        entries.append(kept)
        del entries[:-_ENTRIES]
        self._scopes.move_to_end(scope)
        while len(self._scopes) > _SCOPES:
            self._scopes.popitem(last=False)


def marks_of(question: str) -> tuple[str, ...]:
    """The numbers and (English) negations of a question: with others it is another question."""
    return tuple(sorted(mark.lower() for mark in _TURNING.findall(question)))


def scope_and_question(call: Call) -> tuple[str, str] | None:
    """The scope of a call and its question; None if it is not one question over documents.

    A scope is what the answer depends on besides the question: tenant, model, settings, documents.
    """
    request = call.request
    if not isinstance(request, Generate) or not request.documents or not may_be_kept(request):
        return None
    if len(request.messages) > 1:  # an earlier turn may change what the question means
        return None
    question = request.messages[0].content if request.messages else request.prompt
    rest = replace(request, messages=(), prompt="", stream=False)
    scope = orjson.dumps([call.caller.tenant, rest])
    return hashlib.blake2b(scope, digest_size=32).hexdigest(), question


def semantically_cached(
    inner: Handler, cache: SemanticCache, embed: Handler, count: Callable[[str], None]
) -> Handler:
    """Answers a similar question from `cache`, others from `inner`; `embed` gives embeddings.

    For an answer from the cache, the header `x-cache` is `semantic; similarity=0.982`, and `count`
    gets semantic. Without an embedding, `inner` answers.
    """

    async def handle(call: Call) -> AsyncGenerator[Event, None]:
        found = scope_and_question(call)
        vector = await _vector(embed, call, found[1]) if found else None
        hit = cache.nearest(*found, vector) if found and vector else None
        if hit:
            kept, cosine = hit
            call.headers[HEADER] = f"semantic; similarity={cosine:.3f}"
            call.headers[MODEL_VERSION] = kept.version
            count("semantic")
            for event in kept.events:
                yield as_cached(event)
            return
        events = list[Event]()
        async with aclosing(inner(call)) as answer:
            async for event in answer:
                if vector:
                    events.append(event)
                if found and vector and isinstance(event, Finished) and event.reason == "stop":
                    cache.keep(found[0], _kept(cache, found[1], vector, events, call))
                yield event

    return handle


def _kept(
    cache: SemanticCache, question: str, vector: Vector, events: list[Event], call: Call
) -> Kept:
    version, until_s = call.headers.get(MODEL_VERSION, ""), cache.clock() + cache.ttl_s
    return Kept(marks_of(question), vector, tuple(events), version, until_s)


async def _vector(embed: Handler, call: Call, question: str) -> Vector | None:
    """The question's embedding with length 1; None if there is none."""
    request = Embed(EMBED.name, (question,), input_type="query")
    asking = replace(call, request=request, headers={}, usage=None)
    try:
        async with aclosing(embed(asking)) as answer:
            embedded = await anext(answer)
    except GatewayError:
        return None
    assert isinstance(embedded, Embedded)
    values = array("f", embedded.rows[0])
    length = math.hypot(*values)
    return tuple(value / length for value in values) if length else None
