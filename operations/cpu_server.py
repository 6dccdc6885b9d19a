"""The tritonserver of the wheel in .venv-serve, which serves the cpu SKU."""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from builders.repository import REPOSITORY
from builders.spec import ROOT, Sku
from ensembles.collections import STORE_VARIABLE
from operations.ports import Ports
from operations.preflight import (
    ServingEnvironment,
    faults,
    probe,
    require_none,
    with_system_folders,
)
from operations.triton_process import StartCommand, TritonProcess, server_options

ENVIRONMENT = ROOT / ".venv-serve"
_PLAIN_PATH = re.compile(r"[\w./+-]+", re.ASCII)


class CpuServer(TritonProcess):
    """`with CpuServer(sku, ports, log) as server:` serves `repository` until the block ends.

    Its start raises `PreflightError` for what the machine lacks, `ServerError` when the server
    ends or is not ready in time. `variables` are added to the environment. Only the log's folder
    and /dev/shm are written to.
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
        super().__init__(ports, repository, log, self._checked_command)
        self._variables = dict(variables or {})
        self._sku, self._options = sku, options

    def _checked_command(self) -> StartCommand:
        environment = probe(ENVIRONMENT)
        assert self.log is not None
        folder = self.log.parent
        require_none(faults(environment, self._sku, self.ports, self.repository, folder))
        variables = environment_variables(environment) | {"TMPDIR": str(folder)}
        variables[STORE_VARIABLE] = os.environ.get(STORE_VARIABLE) or str(folder / "collections")
        return StartCommand(self._command(environment), variables | self._variables)

    def _command(self, environment: ServingEnvironment) -> list[str]:
        links = self.shared_memory.link_folder()
        assert self.log is not None
        backends = link_backends(environment, links, self.log.parent)
        return [
            str(environment.triton / "bin" / "tritonserver"),
            f"--model-repository={plain_path(self.repository, links)}",
            f"--backend-directory={backends}",
            f"--cache-directory={environment.triton / 'caches'}",
            "--allow-gpu-metrics=false",
            *server_options(
                self.ports,
                self._sku.config_name,
                admin_key=self.admin_key,
                exit_timeout_s=self.exit_timeout_s,
                shared_memory_prefix=self.shared_memory.prefix,
                options=self._options,
            ),
        ]


def plain_path(path: Path, links: Path) -> Path:
    """The path, or a link to it: a line of bash without quotes starts the stub."""
    if _PLAIN_PATH.fullmatch(str(path)):
        return path
    link = links / "models"
    link.unlink(missing_ok=True)
    link.symlink_to(path)
    return link


def link_backends(environment: ServingEnvironment, links: Path, work_folder: Path) -> Path:
    """A backend directory of links: the wheel has the stub in another folder than the backend.

    The stub is a copy in the work folder. Triton (2.51) sets its mode to 0100 before each start:
    after that other accounts could not use the wheel's stub, and a read-only file system refuses.
    """
    folder = links / "backends" / "python"
    folder.mkdir(parents=True, exist_ok=True)
    stub, new = work_folder / environment.stub.name, work_folder / f".stub-{os.getpid()}"
    shutil.copy(environment.stub, new)
    new.replace(stub)  # a running stub can't be overwritten
    source = environment.triton / "backends" / "python"
    for path in (source / "libtriton_python.so", source / "triton_python_backend_utils.py", stub):
        link = folder / path.name
        link.unlink(missing_ok=True)
        link.symlink_to(path)
    return folder.parent


def environment_variables(environment: ServingEnvironment) -> dict[str, str]:
    """The stub takes its packages from the first python3 on PATH, and is started by bash."""
    path = f"{environment.python.parent}:{with_system_folders()}"
    of_wheel = environment.triton.parents[1] / "nvidia_pytriton.libs"  # libraries for a moved stub
    libraries = f"{environment.library_folder}:{of_wheel}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    return {"PATH": path, "LD_LIBRARY_PATH": libraries}
