"""What the real tritonserver says of a model repository: one server, models loaded one by one."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from builders.build_steps import end_with_parent
from operations.cpu_server import ENVIRONMENT, environment_variables, link_backends
from operations.ports import free_ports
from operations.preflight import probe

STAND_INS = (
    "onnxruntime",
    "tensorrt",
    "pytorch",
    "openvino",
    "tensorflow",
    "dali",
    "tensorrtllm",
    "identity",
    "vllm",
    "fil",
)
"""Backends of NVIDIA's containers that the CPU wheel lacks: a stand-in takes their place."""

START_TIMEOUT_S = 30
LOAD_TIMEOUT_S = 60


@dataclass(frozen=True)
class Verdict:
    """Which models of a repository were refused, with the server's reason."""

    refused: Mapping[str, str]

    @property
    def accepted(self) -> bool:
        """Whether every model was loaded."""
        return not self.refused


class Oracle:
    """`with Oracle() as oracle: oracle.judge(repository)`."""

    def __init__(self, auto_complete: bool = True) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="lint-oracle-"))
        self._repository = self._folder / "repository"
        self._repository.mkdir()
        self._log = self._folder / "tritonserver.log"
        self._ports = free_ports()
        self._auto_complete = auto_complete
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Oracle":
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def judge(self, repository: Path) -> Verdict:
        """Load every model folder of `repository`; a server that died is started again."""
        shutil.rmtree(self._repository)
        shutil.copytree(repository, self._repository, symlinks=True)
        names = sorted(path.name for path in self._repository.iterdir() if path.is_dir())
        refused: dict[str, str] = {}
        for name in names:
            if (reason := self._load(name)) is not None:
                refused[name] = reason
        for name in names:
            self._post(f"/v2/repository/models/{name}/unload")
        return Verdict(refused)

    def _load(self, name: str) -> str | None:
        start = self._log.stat().st_size
        try:
            answer = self._post(f"/v2/repository/models/{name}/load")
        except OSError as error:
            self._restart()
            return f"the server died or hung: {error}"
        if answer is None:
            return None
        return self._reason(start) or answer

    def _reason(self, start: int) -> str:
        """Error lines that the server logged since `start`."""
        with self._log.open("rb") as log:
            log.seek(start)
            text = log.read().decode(errors="replace")
        lines = [line for line in text.splitlines() if re.match(r"[EF]\d{4} |\[libproto", line)]
        return " | ".join(re.sub(r"^E\d{4} \S+ \d+ (\S+\] )?", "", line).strip() for line in lines)

    def _post(self, path: str) -> str | None:
        """None, or the server's error message."""
        url = f"http://127.0.0.1:{self._ports.http}{path}"
        request = urllib.request.Request(url, data=b"{}", method="POST")
        try:
            with urllib.request.urlopen(request, timeout=LOAD_TIMEOUT_S):
                return None
        except urllib.error.HTTPError as error:
            return str(json.loads(error.read()).get("error", "no reason"))

    def _start(self) -> None:
        environment = probe(ENVIRONMENT)
        backends = link_backends(environment, self._folder, self._folder)
        _compile_stand_ins(backends)
        command = [
            str(environment.triton / "bin" / "tritonserver"),
            f"--model-repository={self._repository}",
            f"--backend-directory={backends}",
            f"--cache-directory={environment.triton / 'caches'}",
            "--http-address=127.0.0.1",
            f"--http-port={self._ports.http}",
            "--allow-grpc=false",
            "--allow-metrics=false",
            "--model-control-mode=explicit",
            "--exit-timeout-secs=3",
            "--cache-config=local,size=1048576",
            f"--backend-config=python,shm-region-prefix-name=lint{os.getpid()}_",
        ]
        if not self._auto_complete:
            command.append("--disable-auto-complete-config")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env=os.environ | environment_variables(environment),
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - one system call, no locks
            )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        url = f"http://127.0.0.1:{self._ports.http}/v2/health/live"
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(url, timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"tritonserver is not live:\n{self._log.read_text()[-2000:]}")

    def _stop(self) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(8)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)  # the session that we started
            self._process.wait()
        self._process = None

    def _restart(self) -> None:
        self._stop()
        shutil.rmtree(self._repository)
        self._repository.mkdir()
        self._start()


def _compile_stand_ins(backends: Path) -> None:
    library = backends / "stand_in.so"
    source = Path(__file__).with_name("stand_in_backend.c")
    if not library.exists():
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    for name in STAND_INS:
        (backends / name).mkdir(exist_ok=True)
        link = backends / name / f"libtriton_{name}.so"
        if not link.exists():
            shutil.copy(library, link)
