"""Runs the gateway beside a tritonserver: restarts it if it ends, and ends it first."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from builders.build_steps import end_with_parent
from builders.spec import ROOT
from operations.ports import Ports
from operations.triton_process import ServerError, last_error

PORT = 8080
LOG_NAME = "gateway.log"
START_TIMEOUT_S = 60.0
POLL_S = 0.2
BACKOFF_S = 1.0
"""Pause between the gateway's end and its next start."""
PATIENCE_S = 5.0
"""How long to wait for its end beyond its own time for requests in flight."""

_READY = re.compile(r"^gateway ready: (\S+)/v1", re.MULTILINE)


class GatewayProcess:
    """`with GatewayProcess(ports, log) as gateway:` keeps one running until the block ends.

    Its start raises `ServerError`. `settings` is its TOML file, which may name another address than
    127.0.0.1. `variables` are added to the environment.
    """

    def __init__(
        self,
        ports: Ports,
        log: Path,
        port: int = PORT,
        settings: Path | None = None,
        drain_s: float = 30.0,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.url = ""
        """The URL at which it listens, once it does."""
        self._port = port
        self._ports, self._log, self._settings = ports, log, settings
        self._drain_s, self._variables = drain_s, dict(variables or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="gateway", daemon=True)

    @property
    def pid(self) -> int:
        assert self._process is not None, "the gateway is not running"
        return self._process.pid

    def check(self) -> None:
        """Raises `ServerError` with what is wrong in the settings file; call it before Triton's
        start, which takes long."""
        if self._settings is None:
            return
        command = (sys.executable, "-m", "gateway", "check", "--config", str(self._settings))
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=ROOT, env=self._environment()
        )
        if ended.returncode:
            raise ServerError(f"the gateway's settings: {ended.stderr.strip()}")

    def __enter__(self) -> "GatewayProcess":
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.write_bytes(b"")
        self._process = self._started()
        try:
            self._wait_until_alive(self._process)
        except BaseException:
            self._end()
            raise
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._watcher.join()
        self._end()

    def _watch(self) -> None:
        """Start it again when it has ended by itself."""
        while not self._stop.wait(POLL_S):
            assert self._process is not None
            if (status := self._process.poll()) is not None:
                print(f"gateway ended (status {status}): starting it again", flush=True)
                if not self._stop.wait(BACKOFF_S):
                    self._process = self._started()

    def command(self) -> tuple[str, ...]:
        """The command that is run."""
        at = self._ports.asked_at
        return (
            *(sys.executable, "-m", "gateway", "serve", "--port", str(self._port)),
            *("--triton", f"{at}:{self._ports.http}", "--metrics", f"{at}:{self._ports.metrics}"),
            *("--drain-s", str(self._drain_s)),
            *(("--config", str(self._settings)) if self._settings else ()),
        )

    def _started(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=self._environment(),
                start_new_session=True,  # only this process gets Ctrl-C, and ends it in order
                preexec_fn=end_with_parent,  # noqa: PLW1509 - one system call, no locks
            )

    def _environment(self) -> dict[str, str]:
        """The environment; without a settings file uploaded files are kept beside the log."""
        triton = {"GATEWAY_TRITON__GRPC": f"{self._ports.asked_at}:{self._ports.grpc}"}
        files = {"GATEWAY_FILES__FOLDER": str(self._log.parent / "files")}
        return ({} if self._settings else files) | os.environ | triton | self._variables

    def _wait_until_alive(self, process: "subprocess.Popen[bytes]") -> None:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self.url:
            status = process.poll()
            log = self._log.read_text(encoding="utf-8", errors="replace")
            if found := _READY.search(log):
                self.url = found[1]
            elif status is not None or time.monotonic() > deadline_s:
                why = last_error(log.splitlines())
                raise ServerError(f"the gateway did not start (status {status}): {why}")
            else:
                time.sleep(0.05)

    def _end(self) -> None:
        """End it after it has answered what is in flight."""
        process = self._process
        assert process is not None
        process.terminate()
        try:
            process.wait(self._drain_s + PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
