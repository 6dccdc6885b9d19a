"""Starts, awaits, signals and stops a tritonserver with any command line."""

import contextlib
import fcntl
import os
import re
import resource
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from builders.build_steps import end_with_parent
from operations.admin_key import admin_key, restrictions
from operations.ports import LOOPBACK, Ports, without_proxy
from operations.shared_memory import SharedMemory
from operations.triton_api import NoAnswer, TritonApi

DEFAULT_COLLECTOR = "http://127.0.0.1:4318"
"""URL of a collector with OTLP over HTTP: `triton-traces collect`, Jaeger or another one."""
START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 15
EXIT_TIMEOUT_S = 10
NAME = "tritonserver"
MAX_OPEN_FILES = 65536
KEEPALIVE = (
    "--grpc-keepalive-time=60000",
    "--grpc-keepalive-timeout=20000",
    "--grpc-keepalive-permit-without-calls=1",
    "--grpc-http2-max-pings-without-data=0",
)
"""With these, a gRPC client that no longer answers is disconnected after 80 s instead of 2 h."""
ONE_BLAS_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""Without it, numpy's matrix library keeps a thread for each CPU, which spins after each product: a
search then takes 1.5 times as much CPU time (docs/decisions/0069)."""
MARK = "TRITON_RAG_SERVER"
"""Environment variable that all processes of a server inherit; each server has another value."""

_PREFIX = re.compile(r"^[IWEF]\d{4} [\d:.]+ \d+ \S+\] ")
_ERROR = re.compile(r"^[EF]\d{4} |^error: |^bash: |[a-z]Error: |Permission denied|No such file")


class ServerError(Exception):
    """The server did not start; the message begins with its last error and ends with its log."""


@dataclass(frozen=True)
class StartCommand:
    """The command to run, and environment variables in addition to this process's."""

    words: Sequence[str]
    variables: Mapping[str, str]


def server_options(
    ports: Ports,
    config_name: str,
    *,
    admin_key: str,
    exit_timeout_s: int,
    shared_memory_prefix: str,
    models: str = "*",
    options: Sequence[str] = (),
) -> tuple[str, ...]:
    """Options of every tritonserver here. Model control is explicit, because the supervisor loads
    models."""
    names = ports.by_name().items()
    return (
        f"--model-config-name={config_name}",
        *(f"--{name}-address={ports.address}" for name, _ in names),
        *(f"--{name}-port={port}" for name, port in names),
        "--model-control-mode=explicit",
        f"--load-model={models}",
        f"--exit-timeout-secs={exit_timeout_s}",
        *(restrictions(admin_key) if ports.address != LOOPBACK else ()),
        *KEEPALIVE,
        *options,
        # Otherwise the header of a plain client does not reach the models (docs/traces.md).
        "--http-header-forward-pattern=(?i)^traceparent$",
        "--grpc-header-forward-pattern=(?i)^traceparent$",
        "--disable-auto-complete-config",
        f"--backend-config=python,shm-region-prefix-name={shared_memory_prefix}",
    )


def trace_options(url: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Options and environment variables of a tritonserver that traces every request to `url`.

    Without a URL it traces nothing.
    """
    if not (url := url.rstrip("/")):
        return (), {}
    settings = ("mode=opentelemetry", "rate=1", "level=TIMESTAMPS")
    options = (*settings, f"opentelemetry,url={url}/v1/traces")
    # A user may wait for the spans: they are sent after half a second, not after the usual five.
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "500"}
    return tuple(f"--trace-config={option}" for option in options), variables


class TritonProcess:
    """`with TritonProcess(…) as server:` serves until the block ends.

    `prepare` checks the machine and returns the command; it may raise `PreflightError`.
    tritonserver may be a descendant of that command (mpirun). `log` None: this process's output.
    """

    def __init__(
        self,
        ports: Ports,
        repository: Path,
        log: Path | None,
        prepare: Callable[[], StartCommand],
    ) -> None:
        self.ports, self.log, self.admin_key = ports, log, admin_key()
        self.repository = repository
        self.api = TritonApi(ports, self.admin_key)
        self.exit_timeout_s = EXIT_TIMEOUT_S
        """How long tritonserver waits for its requests after SIGTERM."""
        self.shared_memory = SharedMemory()
        self._prepare = prepare
        self._mark = secrets.token_hex(8)
        self._process: subprocess.Popen[bytes] | None = None
        self._was_started = False

    @property
    def pid(self) -> int:
        """Process id of tritonserver, or of the command that is starting it."""
        process = self._running
        with contextlib.suppress(psutil.Error):
            command = psutil.Process(process.pid)
            if command.name() != NAME:
                servers = [p.pid for p in command.children(recursive=True) if _is_server(p)]
                return min(servers, default=process.pid)  # the first rank is the one that listens
        return process.pid

    def __enter__(self) -> "TritonProcess":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Check the machine, start, and wait until every model is ready. Raises `ServerError`."""
        command = self._prepare()
        with contextlib.ExitStack() as stack:
            lock = stack.enter_context(self.shared_memory.locked())
            log = stack.enter_context(self._open_log(self.log)) if self.log else None
            self._process = subprocess.Popen(
                command.words,
                stdout=log,
                stderr=log,
                env=self._environment(command),
                pass_fds=(lock,),
                start_new_session=True,
                preexec_fn=_prepare_process,  # noqa: PLW1509 - system calls, no locks
            )
        self._was_started = True
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> int:
        """End the server within its own exit timeout; returns its exit status."""
        process = self._process
        if process is None:
            return 0
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
        self.kill()  # also after a good end: a model process may have outlived the server
        self._process = None
        return process.returncode

    def wait(self) -> int:
        """Wait until the server ends by itself; returns its exit status."""
        return self._running.wait()

    def status(self) -> int | None:
        """The exit status, None while it runs."""
        return self._running.poll()

    def terminate(self) -> None:
        """Send SIGTERM to tritonserver only: mpirun would pass it on and kill it a second later."""
        if self._running.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to every process of the server, and free its shared memory."""
        if (process := self._process) is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for other in psutil.process_iter():  # ranks of MPI have process groups of their own
            with contextlib.suppress(psutil.Error):
                if other.environ().get(MARK) == self._mark:
                    other.kill()
        process.wait()
        self.shared_memory.free()

    @property
    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "the server is not running"
        return self._process

    def _environment(self, command: StartCommand) -> dict[str, str]:
        proxy = without_proxy(self.ports.asked_at)
        return {**ONE_BLAS_THREAD, **os.environ, **proxy, **command.variables, MARK: self._mark}

    def _open_log(self, log: Path) -> IO[bytes]:
        """Open the log: it is emptied at the first start. If a running server writes to it, another
        file is used."""
        file = log.open("ab")
        if self._was_started:
            return file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            self.log = log.with_stem(f"{log.stem}-{self.ports.http}")
            file = self.log.open("ab")
        file.truncate(0)
        return file

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            if (status := self.status()) is not None:
                raise ServerError(f"tritonserver ended ({status}): {self._tail()}")
            if time.monotonic() > deadline:
                raise ServerError(f"not ready after {START_TIMEOUT_S} s: {self._tail()}")
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        """Whether all is ready: Triton opens the metrics port last, just after every model."""
        try:
            return self.api.is_ready() and bool(self.api.metrics())
        except NoAnswer:
            return False

    def _tail(self) -> str:
        """The log's last error, then why models were not loaded, then the end of the log."""
        if self.log is None:
            return "its log is above"
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        failed = [line for line in lines if "failed to load" in line]
        return "\n".join([last_error(lines), *failed, *lines[-40:]])


def last_error(log: Sequence[str]) -> str:
    """The last line with an error, without Triton's time and place; else the last line."""
    errors = [line for line in log if _ERROR.search(line)]
    last = (errors or list(log) or ["its log is empty"])[-1]
    return _PREFIX.sub("", last).strip('" ')


def _prepare_process() -> None:
    """Raise the limit of open files: each client is one, and shells allow 1,024."""
    end_with_parent()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, MAX_OPEN_FILES)), hard))


def _is_server(process: psutil.Process) -> bool:
    try:
        return str(process.name()) == NAME
    except psutil.Error:
        return False
