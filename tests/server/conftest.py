"""One real tritonserver for all tests of this folder, on free ports, with the built engines."""

import contextlib
import queue
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from triton_rag import Client

from builders.repository import REPOSITORY
from builders.spec import load_sku
from ensembles.metrics import KV_CACHE_USED, RUNNING
from operations.cpu_server import CpuServer
from operations.ports import Ports, free_ports
from operations.triton_process import TritonProcess

if TYPE_CHECKING:
    from tests.server.gateway import Gateway

BOUND_S = 300.0
"""For what must come, on a busy machine too: no test is meant to wait so long."""

NUMPY = {
    "BYTES": np.object_,
    "INT32": np.int32,
    "FP32": np.float32,
    "BOOL": np.bool_,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT64": np.int64,
}


def tensor(name: str, values: Any, dtype: str) -> grpcclient.InferInput:
    array = np.array(values, dtype=NUMPY[dtype])
    found = grpcclient.InferInput(name, list(array.shape), dtype)
    return found.set_data_from_numpy(array)


def text(name: str, *values: str | bytes) -> grpcclient.InferInput:
    return tensor(name, [v if isinstance(v, bytes) else v.encode() for v in values], "BYTES")


@dataclass
class Streamed:
    """The responses to one request."""

    responses: list[Any] = field(default_factory=list)
    error: Exception | None = None

    def values(self, name: str) -> list[Any]:
        arrays = [response.as_numpy(name) for response in self.responses]
        return [array for array in arrays if array is not None]

    @property
    def text(self) -> str:
        return "".join(array.reshape(-1)[0].decode() for array in self.values("text_output"))

    @property
    def tokens(self) -> int:
        return sum(int(array.sum()) for array in self.values("num_output_tokens"))

    @property
    def finish_reason(self) -> str:
        (reason,) = self.values("finish_reason")
        return str(reason.reshape(-1)[0].decode())


def is_final(response: Any) -> bool:
    return bool(response.get_response().parameters["triton_final_response"].bool_param)


class OpenStream:
    """A gRPC stream; responses as they come. With a request on it if one is given."""

    def __init__(
        self, url: str, model: str = "", inputs: list[Any] | None = None, **options: Any
    ) -> None:
        self.arrived_s = 0.0
        """When the response that `next` returned last had come (perf_counter)."""
        self._client = grpcclient.InferenceServerClient(url)
        self._queue: queue.Queue[Any] = queue.Queue()
        self._client.start_stream(
            lambda result, error: self._queue.put((time.perf_counter(), result, error))
        )
        if inputs is not None:
            self.send(model, inputs, **options)

    def send(self, model: str, inputs: list[Any], **options: Any) -> None:
        """A request, beside those that are under way."""
        options.setdefault("request_id", uuid.uuid4().hex)
        self._client.async_stream_infer(model, inputs, **options)

    def next(self, timeout_s: float = BOUND_S) -> tuple[Any, Exception | None]:
        self.arrived_s, result, error = self._queue.get(timeout=timeout_s)
        return result, error

    def last(self) -> Any:
        """The final response; those before it are dropped."""
        response, error = self.next()
        while error is None and not is_final(response):
            response, error = self.next()
        assert error is None
        return response

    def cancel(self) -> None:
        self._client.stop_stream(cancel_requests=True)

    def close(self) -> None:
        self._client.stop_stream()
        self._client.close()


@dataclass(frozen=True)
class Server:
    """The running server, and short ways to call it."""

    ports: Ports
    client: grpcclient.InferenceServerClient
    log: Path
    pid: int

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.ports.grpc}"

    @property
    def http_url(self) -> str:
        return f"127.0.0.1:{self.ports.http}"

    def infer(self, model: str, *inputs: grpcclient.InferInput) -> Any:
        return self.client.infer(model, list(inputs), client_timeout=BOUND_S)

    def stream(self, model: str, *inputs: grpcclient.InferInput, **options: Any) -> Streamed:
        stream, result = OpenStream(self.url, model, list(inputs), **options), Streamed()
        try:
            while result.error is None:
                response, result.error = stream.next()
                if response is not None:
                    result.responses.append(response)
                    if is_final(response):
                        break
        finally:
            stream.close()
        return result

    def executions(self, model: str) -> tuple[int, int]:
        """Inferences (rows for batched models) and executions so far."""
        (found,) = self.client.get_inference_statistics(model, as_json=True)["model_stats"]
        return int(found["inference_count"]), int(found["execution_count"])


@dataclass(frozen=True)
class Page:
    """One answer of /metrics: what it shows belongs together."""

    series: Mapping[str, float]

    def total(self, name: str, **labels: str) -> float:
        """The sum of the series of that name that have these labels; 0 without one."""
        return sum(value for _, value in self.matching(name, **labels))

    def matching(self, name: str, **labels: str) -> Iterator[tuple[str, float]]:
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        for series, value in self.series.items():
            if series.partition("{")[0] == name and all(part in series for part in wanted):
                yield series, value


def read_metrics(server: Server) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.ports.metrics}/metrics") as page:
        return str(page.read().decode())


def metrics_page(server: Server) -> Page:
    lines = [line for line in read_metrics(server).splitlines() if not line.startswith("#")]
    return Page({name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)})


def gauge(server: Server, name: str) -> float:
    """What the series of that name are at, on a page of their own."""
    return metrics_page(server).total(name)


def eventually(condition: Callable[[], bool], timeout_s: float = BOUND_S) -> bool:
    """Whether the condition comes true within the time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


_Seen = TypeVar("_Seen")


def seen(look: Callable[[], _Seen], wanted: Callable[[_Seen], bool]) -> _Seen:
    """The first look that is as wanted, to assert the rest on; fails with the last one."""
    looks: list[_Seen] = []

    def is_as_wanted() -> bool:
        looks[:] = [look()]
        return wanted(looks[0])

    assert eventually(is_as_wanted), f"not seen in {BOUND_S} s; the last look: {looks[0]}"
    return looks[0]


def is_idle_on(page: Page) -> bool:
    """`llm` decodes nothing and holds no KV memory."""
    return page.total(RUNNING.name) == 0 and page.total(KV_CACHE_USED.name) == 0


def is_idle(server: Server) -> bool:
    return is_idle_on(metrics_page(server))


def linked(folder: Path, *models: str) -> Path:
    """A repository of links to these models alone, for tests that start a server of their own."""
    folder.mkdir()
    for model in models:
        (folder / model).symlink_to(REPOSITORY / model)
    return folder


@contextlib.contextmanager
def until_killed(server: TritonProcess) -> Iterator[TritonProcess]:
    """Serves until the block ends, and is killed then, because its own end takes seconds.

    How a server ends well is tested in test_supervisor.py.
    """
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("server") / "tritonserver.log"
    with until_killed(CpuServer(load_sku("cpu"), free_ports(), log)) as running:
        client = grpcclient.InferenceServerClient(f"127.0.0.1:{running.ports.grpc}")
        yield Server(running.ports, client, log, running.pid)
        client.close()


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client


@pytest.fixture(scope="session")
def server_ports(server: Server) -> Ports:
    return server.ports


@pytest.fixture(scope="session")
def gateway(server: Server, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Gateway]":
    """A gateway with the default settings over the session's tritonserver."""
    from tests.server.gateway import running_gateway

    with running_gateway(server.ports, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """The server's log goes with every failure."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    server = getattr(item, "funcargs", {}).get("server")
    if report.failed and isinstance(server, Server):
        tail = server.log.read_text(errors="replace").splitlines()[-40:]
        report.sections.append(("tritonserver log", "\n".join(tail)))
