"""The innermost handler: a call to the models of one Triton."""

from collections.abc import AsyncGenerator
from dataclasses import replace

from gateway.call import Call, Embed, Event, Generate, Handler, Rank, Search, Usage
from gateway.upstream.connection import Connection
from gateway.upstream.encode import embed, rank
from gateway.upstream.generate import generate
from gateway.upstream.models import Catalogue
from gateway.upstream.search import search


def upstream(triton: Connection, catalogue: Catalogue) -> Handler:
    """Answers with the model that the request names."""

    def answer(call: Call) -> AsyncGenerator[Event, None]:
        if isinstance(call.request, Generate):
            return generate(triton, catalogue, call, call.request)
        return whole(call)

    async def whole(call: Call) -> AsyncGenerator[Event, None]:
        request = call.request
        if isinstance(request, Search):
            yield await search(triton, call, request)
            return
        model = await catalogue.resolve(request.model, type(request))
        call.usage = Usage()
        match replace(request, model=model):
            case Embed() as asked:
                yield await embed(triton, call, asked)
            case Rank() as asked:
                yield await rank(triton, call, asked)

    return answer
