"""The tritonserver of the wheel in .venv-serve, which serves the cpu SKU."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from builders.repository import REPOSITORY
from builders.spec import ROOT, Sku
from operations.admin_key import admin_key, restrictions
from operations.ports import LOOPBACK, Ports
from operations.preflight import PreflightError, ServingEnvironment, faults, probe
from operations.server_process import ServerProcess, StartCommand

ENVIRONMENT = ROOT / ".venv-serve"


class TritonServer(ServerProcess):
    """`with TritonServer(sku, ports, log) as server:` serves `repository` until the block ends.

    Its start raises `PreflightError` for what the machine lacks, `ServerError` when the server
    ends or is not ready in time. `variables` come on top of the environment.
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
        super().__init__(ports, log, admin_key(), self._checked_command)
        self._variables = dict(variables or {})
        self._sku, self._repository, self._options = sku, repository, options
        self._runtime = tempfile.TemporaryDirectory(prefix="triton-runtime-")

    def _checked_command(self) -> StartCommand:
        environment = probe(ENVIRONMENT)
        if found := list(faults(environment, self._sku, self.ports, self._repository)):
            raise PreflightError("\n".join(found))
        return StartCommand(
            self._command(environment), environment_variables(environment) | self._variables
        )

    def _command(self, environment: ServingEnvironment) -> list[str]:
        backends = link_backends(environment, Path(self._runtime.name))
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
            f"--exit-timeout-secs={self.exit_timeout_s}",
            f"--backend-config=python,shm-region-prefix-name={self.shared_memory.prefix}",
            *self._options,
        ]


def link_backends(environment: ServingEnvironment, runtime: Path) -> Path:
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


def environment_variables(environment: ServingEnvironment) -> dict[str, str]:
    """The stub takes its packages from the first python3 on PATH."""
    path = f"{environment.python.parent}:{os.environ.get('PATH', '')}"
    libraries = f"{environment.library_folder}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    return {"PATH": path, "LD_LIBRARY_PATH": libraries}
