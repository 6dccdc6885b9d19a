"""Calls of a tritonserver over HTTP: a new connection each time, with a timeout."""

import http.client
import json
import time
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from ensembles.contracts import DOWN, OVERLOADED
from ensembles.metrics import LARGE_REQUESTS, RUNNING, WAITING
from operations.admin_key import HTTP_HEADER
from operations.ports import Ports

TIMEOUT_S = 5.0
BUSY = 503
_PENDING = "nv_inference_pending_request_count"


class NoAnswer(Exception):
    """The server did not answer in time (`is_late`), or not at all."""

    def __init__(self, reason: str, is_late: bool = False) -> None:
        super().__init__(reason)
        self.is_late = is_late


class Answer(NamedTuple):
    """An HTTP response, and how long it took."""

    status: int
    body: bytes
    seconds: float

    @property
    def error(self) -> str:
        """Triton's error message; empty for a success."""
        if self.status < 400:
            return ""
        try:
            return str(json.loads(self.body)["error"])
        except (ValueError, KeyError, TypeError):
            return f"HTTP {self.status}"

    @property
    def is_busy(self) -> bool:
        """Whether a queue is full, or a store that the model needs is down: the model is alive."""
        return self.status == BUSY or self.error.endswith((OVERLOADED, DOWN))


class TritonApi:
    """The HTTP and metrics ports of one server. Every call raises `NoAnswer`."""

    def __init__(self, ports: Ports, admin_key: str = "") -> None:
        self.ports = ports
        self._headers = {"Connection": "close", HTTP_HEADER: admin_key}

    def is_ready(self) -> bool:
        """Whether every model that the server should load is loaded."""
        return self.call("GET", "/v2/health/ready").status == 200

    def unloaded_models(self) -> frozenset[str]:
        """Models that were unloaded through the repository API."""
        index = self._json("POST", "/v2/repository/index", {})
        loaded = {row["name"] for row in index if row.get("reason") != "unloaded"}
        return frozenset(row["name"] for row in index) - loaded

    def reload(self, model: str, timeout_s: float) -> str:
        """Load the model with new processes; returns Triton's reason if that fails, else empty.

        With an unchanged configuration Triton (2.51) keeps the instances that there are, also dead
        ones, so a parameter of the configuration is changed.
        """
        config = self._json("GET", f"/v2/models/{model}/config")
        body: dict[str, object] = {}
        if "error" not in config:  # otherwise it is not loaded: its file has the configuration
            config.setdefault("parameters", {})["reloaded"] = {"string_value": str(time.time_ns())}
            body = {"parameters": {"config": json.dumps(config)}}
        return self.call("POST", f"/v2/repository/models/{model}/load", body, timeout_s).error

    def in_flight(self) -> float:
        """Number of requests that wait for a model, run in `llm`, or are large in an encoder."""
        names = (_PENDING, RUNNING.name, WAITING.name, LARGE_REQUESTS.name)
        return sum(sample.value for sample in self.metrics() if sample.name in names)

    def metrics(self) -> list[Sample]:
        """The samples of the metrics page."""
        page = self.call("GET", "/metrics", port=self.ports.metrics).body.decode()
        families = text_string_to_metric_families(page)
        return [sample for family in families for sample in family.samples]

    def call(
        self,
        method: str,
        path: str,
        body: dict[str, object] | None = None,
        timeout_s: float = TIMEOUT_S,
        port: int | None = None,
    ) -> Answer:
        """Calls the HTTP port, unless another is given, and never through a proxy."""
        start_s = time.monotonic()
        connection = http.client.HTTPConnection(
            self.ports.asked_at, port or self.ports.http, timeout=timeout_s
        )
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, self._headers)
            response = connection.getresponse()
            return Answer(response.status, response.read(), time.monotonic() - start_s)
        except (OSError, http.client.HTTPException) as error:
            reason = f"{method} {path}: {error or type(error).__name__}"
            raise NoAnswer(reason, isinstance(error, TimeoutError)) from error
        finally:
            connection.close()

    def _json(self, method: str, path: str, body: dict[str, object] | None = None) -> Any:
        answer = self.call(method, path, body)
        try:
            return json.loads(answer.body)
        except ValueError as error:
            raise NoAnswer(f"{method} {path}: HTTP {answer.status} without JSON") from error
