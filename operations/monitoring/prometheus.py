"""A real Prometheus for checks and the live dashboard: fetched, run, asked."""

import http.client
import json
import math
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from builders.errors import BuildError
from builders.spec import ROOT
from operations.monitoring.rule_files import RULES, scrapes_yaml

TOOLS = ROOT / "build" / "tools"
START_TIMEOUT_S = 60


class PrometheusError(BuildError):
    """There is no Prometheus, or it did not do what was asked."""


@dataclass(frozen=True)
class Binaries:
    """Where the two programs are."""

    prometheus: Path
    promtool: Path


def binaries(folder: Path = TOOLS) -> Binaries:
    """From `folder`, else from PATH, else Debian's package unpacked into `folder`: no root needed.

    Raises `PrometheusError` where there is none and none can be fetched.
    """
    unpacked = folder / "prometheus" / "usr" / "bin"
    own = Binaries(unpacked / "prometheus", unpacked / "promtool")
    if own.prometheus.is_file() and own.promtool.is_file():
        return own
    on_path = [shutil.which(name) for name in ("prometheus", "promtool")]
    if on_path[0] and on_path[1]:
        return Binaries(Path(on_path[0]), Path(on_path[1]))
    _unpack(folder)
    return own


def _unpack(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        _call(["apt-get", "download", "-q", "prometheus"], Path(temporary))
        (package,) = Path(temporary).glob("prometheus_*.deb")
        _call(["dpkg", "-x", str(package), str(folder / "prometheus")], folder)


def _call(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        fault = done.stderr.strip() if done.returncode else ""
    except FileNotFoundError as error:
        done, fault = None, str(error)
    if done is None or done.returncode:
        raise PrometheusError(
            f"no prometheus and promtool in {TOOLS} or on PATH, and '{' '.join(command)}' failed: "
            f"{fault}\nPut both programs on PATH, or run 'apt-get update' as root and try again."
        )


@dataclass(frozen=True)
class Series:
    """One series of an answer; points are (Unix time in seconds, value)."""

    labels: dict[str, str]
    points: tuple[tuple[float, float], ...]


class Api:
    """The HTTP API of a Prometheus at `url`. Every method raises `PrometheusError`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def range(self, query: str, start: float, end: float, step_s: float) -> tuple[Series, ...]:
        """Values over time; those that are no number are left out."""
        found = self.get("query_range", query=query, start=start, end=end, step=step_s)
        return tuple(_series(each["metric"], each["values"]) for each in found["result"])

    def now(self, query: str) -> tuple[Series, ...]:
        """Values at this moment."""
        found = self.get("query", query=query)
        if found["resultType"] != "vector":
            return (Series({}, ()),)
        return tuple(_series(each["metric"], [each["value"]]) for each in found["result"])

    def get(self, path: str, **parameters: object) -> Any:
        """The `data` of an answer."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise PrometheusError(f"{parameters}: {error.read().decode()}") from None
        except OSError as error:
            raise PrometheusError(f"Prometheus at {self.url} does not answer: {error}") from None


def _series(labels: dict[str, str], values: list[list[Any]]) -> Series:
    points = ((float(at), float(value)) for at, value in values)
    return Series(labels, tuple(point for point in points if math.isfinite(point[1])))


class Prometheus:
    """`with Prometheus(…) as api:` scrapes `targets` (host:port by job) until the block ends.

    Its data live in a folder that ends with it. Raises `PrometheusError` when it does not start.
    """

    def __init__(self, targets: dict[str, str], rules: str, scrape_s: int, evaluate_s: int) -> None:
        self._programs = binaries()
        parent = ROOT / "build" / "dashboard"
        parent.mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(prefix="prometheus-", dir=parent)
        self._port = free_port()
        config = scrapes_yaml(targets, RULES, f"{scrape_s}s", f"{evaluate_s}s")
        (self._path / "prometheus.yml").write_text(config)
        (self._path / RULES).write_text(rules)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def _path(self) -> Path:
        return Path(self._folder.name)

    def __enter__(self) -> Api:
        with (self._path / "log").open("wb") as log:
            self._process = subprocess.Popen(list(self._command()), stdout=log, stderr=log)
        try:
            return self._wait_until_ready()
        except BaseException:
            self._stop()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _command(self) -> Iterator[str]:
        if setpriv := shutil.which("setpriv"):
            yield from (setpriv, "--pdeathsig", "TERM")  # ends with us, however we end
        yield str(self._programs.prometheus)
        yield f"--config.file={self._path / 'prometheus.yml'}"
        yield f"--storage.tsdb.path={self._path / 'data'}"
        yield f"--web.listen-address=127.0.0.1:{self._port}"
        yield "--log.level=warn"

    def _wait_until_ready(self) -> Api:
        api = Api(f"http://127.0.0.1:{self._port}")
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(f"{api.url}/-/ready"):
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = (self._path / "log").read_text(errors="replace")
                raise PrometheusError(f"Prometheus is not ready:\n{log[-2000:]}")
            time.sleep(0.1)
        return api

    def _stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._folder.cleanup()


def answers(url: str) -> bool:
    """Whether a GET ends with status 200 within 5 s."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, http.client.HTTPException):  # ValueError: no address at all
        return False


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
