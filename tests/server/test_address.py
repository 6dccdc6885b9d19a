"""A server on another address than 127.0.0.1: 127.0.0.2 stands for one that others reach."""

import json
import os
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from builders.spec import load_sku
from operations import cli, model_processes
from operations.admin_key import HTTP_HEADER, KEY_VARIABLE
from operations.cpu_server import CpuServer
from operations.ports import LOOPBACK, free_ports
from operations.supervisor.settings import SupervisorSettings
from operations.supervisor.supervisor import Supervisor
from tests.server.conftest import BOUND_S, eventually, text

ADDRESS = "127.0.0.2"
KEY = "the-key-of-this-test"
GRPC_HEADER = f"triton-grpc-protocol-{HTTP_HEADER}"
"""Triton puts the words before it itself."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    log = tmp_path_factory.mktemp("address") / "tritonserver.log"
    settings = SupervisorSettings(canary_interval_s=2.0, backoff_min_s=0.2, idle_s=1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, KEY)
        with Supervisor(CpuServer(load_sku("cpu"), free_ports(ADDRESS), log), settings) as found:
            yield found


@pytest.fixture
def client(running: Supervisor) -> Iterator[grpcclient.InferenceServerClient]:
    with grpcclient.InferenceServerClient(f"{ADDRESS}:{running.ports.grpc}") as found:
        yield found


def test_listens_there_alone(running: Supervisor) -> None:
    ports = [*running.ports.by_name().values(), running.health_port]
    for port in ports:
        socket.create_connection((ADDRESS, port), 5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((LOOPBACK, port), 5)
    with urllib.request.urlopen(f"http://{ADDRESS}:{running.health_port}/readyz") as answer:
        assert json.load(answer)["ready"]


@pytest.mark.parametrize("ports", ["--free-ports", "--http-port=64001"])
def test_an_address_of_another_machine_is_one_sentence(ports: str, capsys) -> None:
    assert cli.main(["serve", ports, "--address", "203.0.113.1"]) == 1  # RFC 5737: nobody has it
    said = "203.0.113.1 is not this machine's address; 0.0.0.0 is every one\n"
    assert capsys.readouterr().err == said


def test_anybody_may_ask(client: grpcclient.InferenceServerClient) -> None:
    found = client.infer("embed", [text("input_text", "a")], client_timeout=BOUND_S)
    assert found.as_numpy("embedding").shape == (1, 384)
    assert client.get_model_metadata("embed").name == "embed"


@pytest.mark.parametrize(
    "path",
    [
        "/v2/repository/index",
        "/v2/repository/models/tokenizer/load",
        "/v2/repository/models/tokenizer/unload",
        "/v2/systemsharedmemory/region/x/register",
        "/v2/trace/setting",
        "/v2/logging",
    ],
)
def test_what_changes_the_server_needs_the_key_over_http(running: Supervisor, path: str) -> None:
    def post(key: str) -> tuple[int, str]:
        url = f"http://{ADDRESS}:{running.ports.http}{path}"
        headers = {HTTP_HEADER: key} if key else {}
        try:
            with urllib.request.urlopen(urllib.request.Request(url, b"{}", headers)) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    for wrong in ("", "another-key-of-this"):
        status, body = post(wrong)
        assert status == 403 and "This API is restricted" in body and KEY not in body
    if path.endswith("index"):
        assert post(KEY)[0] == 200


def test_what_changes_the_server_needs_the_key_over_grpc(
    client: grpcclient.InferenceServerClient,
) -> None:
    for headers in ({}, {GRPC_HEADER: "another-key-of-this"}):
        for call in (client.load_model, client.unload_model):
            with pytest.raises(InferenceServerException, match="This protocol is restricted") as e:
                call("tokenizer", headers=headers)
            assert KEY not in str(e.value)
        with pytest.raises(InferenceServerException, match="restricted"):
            client.register_system_shared_memory("x", "/x", 8, headers=headers)
    assert len(client.get_model_repository_index(headers={GRPC_HEADER: KEY}).models) > 10
    assert client.is_model_ready("tokenizer")


def test_the_supervisor_has_the_key(running: Supervisor) -> None:
    assert eventually(lambda: running.is_ready)
    (pid,) = (
        one.pid for one in model_processes.find(running.pid).living if one.model == "tokenizer"
    )
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: [e.action for e in running.events] == ["reloaded"])
    assert eventually(lambda: running.is_ready)


def test_drains_there_too(running: Supervisor, client: grpcclient.InferenceServerClient) -> None:
    """An idle channel holds nothing."""
    assert client.is_server_live()
    assert running.stop() == 0
