"""Puts the parts of this folder together, as the settings say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.access.admission import Admission, fair
from gateway.access.authentication import Authenticator
from gateway.access.counts import MemoryCounts
from gateway.access.demand import Assumptions
from gateway.access.grants import Grants
from gateway.access.key_stores import open_key_store
from gateway.access.ledger import Ledger
from gateway.access.limits import Limiter
from gateway.access.metering import Meter, limited
from gateway.access.settings import AccessSettings
from gateway.access.valkey_counts import ValkeyCounts
from gateway.call import Handler, Label


@dataclass(frozen=True)
class Access:
    """Keys, limits, ledger and queues of one gateway."""

    authenticator: Authenticator
    grants: Grants
    meter: Meter
    assumed: Assumptions
    generating: Admission
    encoding: Admission

    def limited(self, inner: Handler, label: Label) -> Handler:
        return limited(inner, self.meter, label)

    def fair(self, inner: Handler, *, comes_whole: bool = False) -> Handler:
        return fair(inner, self.generating, self.encoding, self.assumed, comes_whole=comes_whole)


@asynccontextmanager
async def open_access(settings: AccessSettings) -> AsyncIterator[Access]:
    """Opens keys, counts and ledger; at the end all usage is written.

    Raises KeyStoreError and LedgerError.
    """
    store = await open_key_store(settings.keys) if settings.keys else None
    ledger = Ledger(settings.ledger) if settings.ledger else None
    grants = Grants(store, settings.tiers)
    counts = ValkeyCounts(settings.counts) if settings.counts else MemoryCounts()
    meter = Meter(grants, Limiter(counts), ledger, settings.assumptions)
    is_shared = store is not None
    try:
        yield Access(
            Authenticator(store, settings.hosts),
            grants,
            meter,
            settings.assumptions,
            Admission(settings.generating, is_shared=is_shared),
            Admission(settings.encoding, is_shared=is_shared),
        )
    finally:
        await meter.close()
        if store is not None:
            await store.close()
