"""Puts the handlers between clients and models together, outermost first."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.access.access import Access, open_access
from gateway.cache.cache import open_cache
from gateway.call import Handler
from gateway.guards.guards import Guards, open_guards
from gateway.metrics import Metrics, metered
from gateway.routing.routed import routed
from gateway.settings import Settings
from gateway.tracing import Tracing, open_tracing
from gateway.upstream.answer import upstream
from gateway.upstream.connection import Connection
from gateway.upstream.models import Catalogue
from gateway.upstream.pressure import held_under_pressure

if TYPE_CHECKING:
    from gateway.files.library import Library


@dataclass(frozen=True)
class Service:
    """The handlers and stores that the routes use."""

    settings: Settings
    triton: Connection
    catalogue: Catalogue
    access: Access
    guards: Guards
    metrics: Metrics
    handler: Handler
    counted: Callable[[Handler], Handler]
    """Puts limits, metrics, records and spans around a handler of a route's own."""
    tracing: Tracing
    library: "Library | None"
    """Files and vector stores; None if they are not set up."""


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Service]:
    """The service over the Triton of the settings, in this event loop."""
    async with (
        Connection(settings.triton) as triton,
        open_access(settings.access) as access,
        open_cache(settings.cache) as cache,
        open_guards(settings.guards) as guards,
        held_under_pressure(triton, access.generating),
    ):
        with open_tracing() as tracing, _open_library(settings) as library:
            catalogue = Catalogue(triton, settings.models.aliases, settings.models.llms)
            metrics = Metrics()
            metrics.watch({"generating": access.generating, "encoding": access.encoding})

            label = catalogue.label

            def counted(inner: Handler) -> Handler:
                inner = metered(access.limited(inner, label), metrics, label)
                return tracing.around_call(guards.recorded(inner, label))

            handler = access.fair(tracing.around_upstream(upstream(triton, catalogue)))
            # The cache is inside the limits: keys and limits apply to cached answers too.
            handler = access.limited(cache.around(handler, metrics.count_lookup), label)
            handler = metered(handler, metrics, label)
            handler = routed(handler, settings.routing)
            handler = tracing.around_call(guards.around(handler, metrics.count_redactions, label))
            yield Service(
                settings,
                triton,
                catalogue,
                access,
                guards,
                metrics,
                handler,
                counted,
                tracing,
                library,
            )


def _open_library(settings: Settings) -> "AbstractContextManager[Library | None]":
    if settings.files.folder is None:
        return nullcontext()
    from gateway.files.library import open_library  # only files need the client's package

    return open_library(settings.files, settings.triton.grpc)
