"""A real tritonserver from the wheel: started with our repository, waited for, stopped."""

import contextlib
import ctypes
import os
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from builders.repository import REPOSITORY
from builders.spec import ROOT, Sku
from operations.admin_key import admin_key, restrictions
from operations.ports import LOOPBACK, Ports
from operations.preflight import PreflightError, ServingEnvironment, faults, probe
from operations.shared_memory import Regions

ENVIRONMENT = ROOT / ".venv-serve"
START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 15


class ServerError(Exception):
    """The server did not come up; the message ends with its log."""


class TritonServer:
    """`with TritonServer(sku) as server:` serves until the block ends.

    The log goes to `log`. Raises `PreflightError` for what the machine lacks, `ServerError` when
    the server ends or is not ready in time. `variables` come on top of the environment.
    """

    def __init__(
        self,
        sku: Sku,
        ports: Ports,
        log: Path,
        repository: Path = REPOSITORY,
        options: tuple[str, ...] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.ports, self.log = ports, log
        self.admin_key = admin_key()
        """Loads and unloads models where `ports.address` is not 127.0.0.1."""
        self._variables = dict(variables or {})
        self._sku, self._repository, self._options = sku, repository, options
        self._regions = Regions()
        self._runtime = tempfile.TemporaryDirectory(prefix="triton-runtime-")
        self._process: subprocess.Popen[bytes] | None = None
        self._was_started = False

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def __enter__(self) -> "TritonServer":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Check the machine, start, and wait until every model is ready."""
        environment = probe(ENVIRONMENT)
        if found := list(faults(environment, self._sku, self.ports, self._repository)):
            raise PreflightError("\n".join(found))
        command = self._command(environment)
        mode = "ab" if self._was_started else "wb"
        with self._regions.held() as held, self.log.open(mode) as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env=_environment(environment) | self._variables,
                pass_fds=(held,),
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one system call, no locks
            )
        self._was_started = True
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> int:
        """End the server, its streams first; its exit status."""
        process = self._process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
        self.kill()  # also after a good end: a model process may have outlived the server
        self._process = None
        return process.returncode

    def wait(self) -> int:
        """Until the server ends by itself; its exit status."""
        assert self._process is not None, "the server is not running"
        return self._process.wait()

    def status(self) -> int | None:
        """The exit status, None while it runs."""
        assert self._process is not None, "the server is not running"
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        """A signal to the server alone; nothing happens when it has ended."""
        assert self._process is not None, "the server is not running"
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to the server and to every process that it started."""
        assert self._process is not None, "the server is not running"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._regions.free()

    def _command(self, environment: ServingEnvironment) -> list[str]:
        backends = _link_backends(environment, Path(self._runtime.name))
        return [
            str(environment.triton / "bin" / "tritonserver"),
            f"--model-repository={self._repository}",
            f"--model-config-name={self._sku.config_name}",
            f"--backend-directory={backends}",
            f"--cache-directory={environment.triton / 'caches'}",
            *(f"--{name}-address={self.ports.address}" for name in self.ports.by_name()),
            *(f"--{name}-port={port}" for name, port in self.ports.by_name().items()),
            *(restrictions(self.admin_key) if self.ports.address != LOOPBACK else ()),
            # Else the header of a plain client does not reach our models (docs/traces.md).
            "--http-header-forward-pattern=(?i)^traceparent$",
            "--grpc-header-forward-pattern=(?i)^traceparent$",
            "--disable-auto-complete-config",
            "--allow-gpu-metrics=false",
            "--model-control-mode=explicit",
            "--load-model=*",
            "--exit-timeout-secs=10",
            f"--backend-config=python,shm-region-prefix-name={self._regions.prefix}",
            *self._options,
        ]

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            if self._process.poll() is not None:
                raise ServerError(
                    f"tritonserver ended ({self._process.returncode}):\n{self._tail()}"
                )
            if time.monotonic() > deadline:
                raise ServerError(f"not ready after {START_TIMEOUT_S} s:\n{self._tail()}")
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        url = f"http://{self.ports.asked_at}:{self.ports.http}/v2/health/ready"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _tail(self) -> str:
        """Why models were not loaded, which the end may hide behind tables, and the end."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join([*(line for line in lines if "failed to load" in line), *lines[-40:]])


def _end_with_parent() -> None:
    """Ask Linux to end the server when whoever started it is gone, however that came about."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _link_backends(environment: ServingEnvironment, runtime: Path) -> Path:
    """A backend directory of links: the wheel ships the stub apart from the backend."""
    folder = runtime / "backends" / "python"
    folder.mkdir(parents=True, exist_ok=True)
    source = environment.triton / "backends" / "python"
    for path in (
        source / "libtriton_python.so",
        source / "triton_python_backend_utils.py",
        environment.stub,
    ):
        link = folder / path.name
        link.unlink(missing_ok=True)
        link.symlink_to(path)
    return folder.parent


def _environment(environment: ServingEnvironment) -> dict[str, str]:
    """The stub takes its packages from the first python3 on PATH."""
    path = f"{environment.python.parent}:{os.environ.get('PATH', '')}"
    libraries = f"{environment.library_folder}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    return os.environ | {"PATH": path, "LD_LIBRARY_PATH": libraries}
