"""Servers with changed placements: each serves a model repository rendered for it alone."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from builders.errors import BuildError
from builders.render import BASE, render
from builders.repository import REPOSITORY, engine_links, write
from builders.spec import Sku, load_pipeline, load_sku
from builders.tune.change import Changes, applied, told
from builders.tune.objective import Workload
from builders.tune.search import ServerFault
from operations.ports import free_ports
from operations.preflight import PreflightError
from operations.server import ServerError, TritonServer

MOST_RUNNING = 2
"""A reference and a candidate: the one that is not measured is idle meanwhile."""


def make_repository(sku: Sku, folder: Path) -> None:
    """A model repository like model_repository/, for one SKU as it is in memory."""
    bases = [] if sku.name == BASE else [load_sku(BASE)]
    write(render([*bases, sku], load_pipeline()), folder)
    for link in engine_links(sku, REPOSITORY):
        here = folder / link.relative_to(REPOSITORY)
        here.parent.mkdir(parents=True, exist_ok=True)
        here.symlink_to(link.resolve())


@dataclass
class Running:
    """A server that is up, and the workloads that it has been warmed up with."""

    server: TritonServer
    repository: Path
    warm: set[Workload] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Of gRPC."""
        return f"127.0.0.1:{self.server.ports.grpc}"


class TrialServers:
    """`with TrialServers(sku, folder) as servers:` ends them all behind the block.

    Repositories and logs are in `folder`; the logs stay.
    """

    def __init__(self, sku: Sku, folder: Path) -> None:
        self._sku, self._folder = sku, folder
        self._running: dict[Changes, Running] = {}
        self._started = 0

    def __enter__(self) -> "TrialServers":
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for changes in list(self._running):
            self._stop(changes)

    def with_changes(self, changes: Changes) -> Running:
        """A running server; the one not asked for longest makes room for a new one.

        Raises `ServerFault` where it doesn't come up, `BuildError` where the default doesn't.
        """
        found = self._running.pop(changes, None) or self._start(changes)
        self._running[changes] = found
        return found

    def _start(self, changes: Changes) -> Running:
        while len(self._running) >= MOST_RUNNING:
            self._stop(next(iter(self._running)))
        self._started += 1
        repository = self._folder / f"repository-{self._started}"
        shutil.rmtree(repository, ignore_errors=True)
        sku = applied(self._sku, changes)
        make_repository(sku, repository)
        log = self._folder / f"tritonserver-{self._started}.log"
        server = TritonServer(sku, free_ports(), log, repository)
        try:
            server.start()
        except (ServerError, PreflightError) as error:
            shutil.rmtree(repository, ignore_errors=True)
            if not changes:
                raise BuildError(f"the default placement can't be measured: {error}") from error
            raise ServerFault(f"{told(changes)}: the server did not come up: {log}") from error
        return Running(server, repository)

    def _stop(self, changes: Changes) -> None:
        running = self._running.pop(changes)
        running.server.stop()
        shutil.rmtree(running.repository, ignore_errors=True)
