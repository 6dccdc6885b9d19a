"""Runs the application: uvicorn in the foreground, until SIGTERM or Ctrl-C."""

import asyncio
import logging
import resource
import signal
import socket
import sys
import tempfile
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from pydantic import IPvAnyAddress

from gateway.access.access import Access, open_access
from gateway.access.key_store import KeyStoreError
from gateway.access.key_stores import is_database
from gateway.access.ledger import LedgerError
from gateway.app import new_app
from gateway.client_connection import bound_unsent, connection_class
from gateway.errors import Unavailable
from gateway.files.register import Register
from gateway.guards.audit import AuditError
from gateway.guards.guards import open_guards
from gateway.guards.rules import RuleError
from gateway.routing.rules import classifier
from gateway.settings import Settings, SettingsError
from gateway.shared_store import look_for

LOG = logging.getLogger(__name__)

BACKLOG = 2048
OPEN_FILES = 2**16
"""Most open files: connections of clients, and to the models. Most systems allow a process 1,024
unless it asks for more: a few hundred streams, or one client's idle connections, would use them."""


def serve(settings: Settings) -> None:
    """Serve until a signal; then requests in flight get `drain_s` to end.

    Raises `SettingsError` if it can't listen.
    """
    allow_open_files()
    listener = _listener(settings)
    port = listener.getsockname()[1]
    app = new_app(settings)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=connection_class(settings.listen.headers_s, settings.listen.stalled_s),
        ws="none",
        lifespan="on",
        backlog=BACKLOG,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=round(settings.listen.drain_s),
        h11_max_incomplete_event_size=None,
    )
    check(settings)
    url = _url(settings.listen.address, port)
    who = "" if settings.access.keys else "; without keys, for this machine only"
    line = f"gateway ready: {url}/v1 over Triton {settings.triton.http}{who}"
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)  # uvicorn sends it again after the drain
    _Server(config, app, line).run(sockets=[listener])


def check(settings: Settings) -> None:
    """Opens keys, ledger, rules, audit log and files once, so that a fault is reported in one line
    instead of uvicorn's traceback. Raises `SettingsError`."""
    asyncio.run(_opened(settings))


def allow_open_files() -> None:
    """Raises the limit of open files as far as possible, up to `OPEN_FILES`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _url(address: IPvAnyAddress, port: int) -> str:
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


def _end(*_: object) -> None:
    sys.exit(0)


class _Server(uvicorn.Server):
    """Prints when it takes connections; at its end waiting calls are refused first."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, ready_line: str) -> None:
        super().__init__(config)
        self._app, self._ready_line = app, ready_line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # otherwise `nohup` has started it
            signal.signal(signal.SIGHUP, self._drain)
        await super().startup(sockets)
        if self.started:
            print(self._ready_line, flush=True)

    def _drain(self, *_: object) -> None:
        """End at SIGHUP: settings are only read at the start, so a new process must be started."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        access: Access = self._app.state.service.access
        for admission in (access.generating, access.encoding):
            admission.close()
        await super().shutdown(sockets)


async def _opened(settings: Settings) -> None:
    _look_for_files(settings.files.folder)
    _look_for_keys(settings.access.keys)
    for url in {settings.access.counts, settings.cache.url} - {""}:
        await look_for(url, "limits and answers are this gateway's own")
    try:
        async with open_access(settings.access), open_guards(settings.guards):
            pass
    except (KeyStoreError, LedgerError) as error:
        raise SettingsError(f"access: {error}") from None
    except (AuditError, RuleError) as error:
        raise SettingsError(f"guards: {error}") from None
    try:
        classifier(settings.routing)
    except RuleError as error:
        raise SettingsError(f"routing: {error}") from None


def _look_for_files(folder: Path | None) -> None:
    """Checks the folder of files: makes it, and writes to it."""
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        Register(folder).close()
    except OSError as error:
        raise SettingsError(f"files.folder: {folder}: {error.strerror}") from None
    except Unavailable as error:
        raise SettingsError(f"files.folder: {folder}: {error}") from None


def _look_for_keys(where: str) -> None:
    """Checks the folder of a file of keys; the file itself may be made later."""
    if not where or is_database(where) or Path(where).exists():
        return
    if not Path(where).absolute().parent.is_dir():
        raise SettingsError(f"access.keys: {where}: its folder does not exist")
    LOG.warning(
        "access.keys: there is no %s yet; until 'python -m gateway keys create' makes it every"
        " request is refused",
        where,
    )


def _listener(settings: Settings) -> socket.socket:
    address, port = settings.listen.address, settings.listen.port
    if not settings.access.keys and not address.is_loopback:
        raise SettingsError(
            f"listen.address: {address} given, and access.keys names no keys; without keys only "
            "this machine may ask: 127.0.0.1"
        )
    if not settings.access.keys and "*" in settings.listen.origins:
        raise SettingsError(
            "listen.origins: '*' given, and access.keys names no keys; without keys every web page "
            "could ask: name those that may"
        )
    found = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound_unsent(found)
    try:
        found.bind((str(address), port))
    except OSError as error:
        found.close()
        raise SettingsError(f"listen: {address}:{port}: {error.strerror}") from None
    return found
