"""What the supervisor asks tritonserver over HTTP; a new connection each time, with a timeout."""

import http.client
import json
import re
import time
from dataclasses import dataclass
from itertools import count

from ensembles.metrics import ITERATIONS, REQUESTS, RUNNING, TOKENS, WAITING
from operations.admin_key import HTTP_HEADER
from operations.ports import Ports
from operations.supervisor.canary import Canary

TIMEOUT_S = 5.0
BUSY = 503
"""A full queue: the model lives."""
UNKNOWN_MODEL = 404


class NoAnswer(Exception):
    """The server did not answer in time, or not at all; `is_late` tells which."""

    def __init__(self, reason: str, is_late: bool) -> None:
        super().__init__(reason)
        self.is_late = is_late


@dataclass(frozen=True)
class Answer:
    """Status and body of an HTTP response, and how long it took."""

    status: int
    body: bytes
    seconds: float

    @property
    def error(self) -> str:
        """What Triton says is wrong; empty for a success."""
        if self.status < 400:
            return ""
        try:
            return str(json.loads(self.body)["error"])
        except (ValueError, KeyError, TypeError):
            return f"HTTP {self.status}"


class TritonApi:
    """The HTTP and metrics ports of one server."""

    def __init__(self, ports: Ports, admin_key: str = "") -> None:
        self.ports = ports
        self._headers = {"Connection": "close", HTTP_HEADER: admin_key}
        self.own_ports: set[int] = set()
        """Of our side of the connections that are open now: not to be mistaken for clients."""
        self._ids = count()

    def ask(self, canary: Canary, timeout_s: float) -> Answer:
        """The model's answer to its canary; raises `NoAnswer`."""
        body = canary.body | {"id": f"canary-{canary.model}-{next(self._ids)}"}
        return self._call("POST", canary.path, body, timeout_s)

    def is_live(self) -> bool:
        """Whether the server itself answers."""
        try:
            return self._call("GET", "/v2/health/live").status == 200
        except NoAnswer:
            return False

    def unloaded_models(self) -> frozenset[str]:
        """Models that somebody unloaded through the repository API. Raises `NoAnswer`."""
        index = json.loads(self._call("POST", "/v2/repository/index", {}).body)
        loaded = {row["name"] for row in index if row.get("reason") != "unloaded"}
        return frozenset(row["name"] for row in index) - loaded

    def reload(self, model: str, timeout_s: float) -> str:
        """Load the model with new processes; empty when it worked, else Triton's reason.

        A load with an unchanged configuration keeps the instances that there are, dead ones too
        (Triton 2.51), so a parameter of it is changed. Raises `NoAnswer`.
        """
        config = json.loads(self._call("GET", f"/v2/models/{model}/config").body)
        if "error" in config:  # not loaded at all: the file says what it should be
            return self._load(model, {}, timeout_s)
        config.setdefault("parameters", {})["reloaded"] = {"string_value": str(time.time_ns())}
        return self._load(model, {"parameters": {"config": json.dumps(config)}}, timeout_s)

    def progress(self, canary: Canary) -> tuple[str, ...]:
        """Counters of finished work of the model, and of tokens of the one that it streams from.

        What moves when a request merely arrives is left out, or canaries of a stuck model would
        look like progress; Triton's own counters move then for decoupled models. Raises `NoAnswer`.
        """
        page = self._call("GET", "/metrics", port=self.ports.metrics).body.decode()
        return tuple(line for line in page.splitlines() if _is_progress(line, canary))

    def is_generating(self) -> bool:
        """Whether `llm` has requests, as far as it says so. Raises `NoAnswer`."""
        page = self._call("GET", "/metrics", port=self.ports.metrics).body.decode()
        gauges = [
            line for line in page.splitlines() if line.startswith((RUNNING.name, WAITING.name))
        ]
        return not gauges or any(float(line.split()[-1]) > 0 for line in gauges)

    def _load(self, model: str, body: dict[str, object], timeout_s: float) -> str:
        return self._call("POST", f"/v2/repository/models/{model}/load", body, timeout_s).error

    def _call(
        self,
        method: str,
        path: str,
        body: object = None,
        timeout_s: float = TIMEOUT_S,
        port: int | None = None,
    ) -> Answer:
        start = time.monotonic()
        connection = http.client.HTTPConnection(
            self.ports.asked_at, port or self.ports.http, timeout=timeout_s
        )
        own_port = 0
        try:
            connection.connect()
            own_port = connection.sock.getsockname()[1]
            self.own_ports.add(own_port)
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, self._headers)
            response = connection.getresponse()
            return Answer(response.status, response.read(), time.monotonic() - start)
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(
                f"{method} {path}: {error or type(error).__name__}",
                isinstance(error, TimeoutError),
            ) from error
        finally:
            connection.close()
            self.own_ports.discard(own_port)


_SAMPLE = re.compile(r'^(\w+)\{(?:[^}]*,)?model="([^"]*)"')


def _is_progress(line: str, canary: Canary) -> bool:
    if not (sample := _SAMPLE.match(line)):
        return False
    name, model = sample.groups()
    if name == ITERATIONS.name or (name == TOKENS.name and 'type="output"' in line):
        return model == canary.model or model in canary.calls
    if name == REQUESTS.name:
        return model == canary.model and ('outcome="ok"' in line or 'outcome="failed"' in line)
    return name == "nv_inference_exec_count" and model == canary.model and not canary.decoupled
