"""The composition: what stands between a client and a model, outermost first."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.access.access import Access, open_access
from gateway.call import Handler
from gateway.settings import Settings
from gateway.upstream.answer import upstream
from gateway.upstream.connection import Connection
from gateway.upstream.models import Catalogue


@dataclass(frozen=True)
class Service:
    """What the routes use."""

    settings: Settings
    triton: Connection
    catalogue: Catalogue
    access: Access
    handler: Handler


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Service]:
    """The service over the Triton of the settings, in this event loop."""
    async with Connection(settings.triton) as triton, open_access(settings.access) as access:
        catalogue = Catalogue(triton, settings.models.aliases)
        handler = access.limited(access.fair(upstream(triton, catalogue)))
        yield Service(settings, triton, catalogue, access, handler)
