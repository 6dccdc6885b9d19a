"""A GPU SKU's command line under the supervisor; stand-ins for MPI start the CPU's tritonserver.

What is not shown: the container, MPI itself, a GPU.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from operations import gpu_commands, gpu_server, model_processes
from operations.cpu_server import ENVIRONMENT, environment_variables, link_backends
from operations.gpu_commands import Launch, ServedLlm
from operations.gpu_server import GpuServer
from operations.ports import free_ports
from operations.preflight import probe
from operations.supervisor.journal import SERVER, Cause
from operations.supervisor.settings import SupervisorSettings
from operations.supervisor.supervisor import Supervisor
from tests.server.conftest import BOUND_S, OpenStream, eventually, is_final, tensor, text
from tests.server.test_skus import MADE_UP, make_repository

MPIRUN = """#!/bin/sh
# As Open MPI: each rank has a process group of its own. One rank is enough here.
while [ "$1" != trtllm-llmapi-launch ]; do shift; done
setsid "$@" &
wait $!
"""
LAUNCHER = '#!/bin/sh\n"$@"\nexit $?\n'
SERVER_SCRIPT = (
    '#!/bin/sh\nexec {server} --backend-directory={backends} --allow-gpu-metrics=false "$@"\n'
)


def write_script(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    folder, environment = tmp_path_factory.mktemp("gpu"), probe(ENVIRONMENT)
    backends = link_backends(environment, folder, folder)
    server = environment.triton / "bin" / "tritonserver"
    write_script(folder / "mpirun", MPIRUN)
    write_script(folder / "trtllm-llmapi-launch", LAUNCHER)
    write_script(folder / "server.sh", SERVER_SCRIPT.format(server=server, backends=backends))
    variables = environment_variables(environment)
    variables["PATH"] = f"{folder}:{variables['PATH']}"
    llm = ServedLlm(MADE_UP.name, MADE_UP.config_name, "llm-api", 2, "", folder)
    launch = Launch(llm, make_repository(folder / "repository"), free_ports())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu_commands, "SERVER", str(folder / "server.sh"))
        patch.setattr(gpu_server, "serving_environment", lambda: None)
        patch.setattr(gpu_server, "gpu_faults", lambda *_: [])
        patch.setattr(gpu_server, "_image_faults", lambda _: [])
        settings = SupervisorSettings(canary_interval_s=2.0, drain_s=BOUND_S, idle_s=1.0)
        with Supervisor(GpuServer(MADE_UP, launch, variables), settings) as found:
            yield found


def pid_of(running: Supervisor, model: str) -> int:
    (found,) = (one.pid for one in model_processes.find(running.pid).living if one.model == model)
    return found


def test_the_server_is_found_below_mpi(running: Supervisor) -> None:
    server = psutil.Process(running.pid)
    assert server.name() == "tritonserver"
    assert [parent.name() for parent in server.parents()[:2]] == ["trtllm-llmapi-l", "mpirun"]


def test_a_killed_encoder_comes_back_and_streams_go_on(running: Supervisor) -> None:
    assert eventually(lambda: running.is_ready)
    pid, server = pid_of(running, "embedder"), running.pid
    tokens = [tensor(name, [400], "INT32") for name in ("max_tokens", "min_tokens")]
    inputs = [text("text_input", "hello"), *tokens, tensor("stream", [True], "BOOL")]
    stream = OpenStream(f"127.0.0.1:{running.ports.grpc}", "llm", inputs)
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: [e.action for e in running.events] == ["reloaded"])
    assert eventually(lambda: running.is_ready)
    assert pid_of(running, "embedder") != pid and running.pid == server
    while not is_final((answer := stream.next(BOUND_S))[0]):
        assert answer[1] is None
    stream.close()


def test_a_killed_llm_restarts_all_of_it(running: Supervisor) -> None:
    assert eventually(lambda: running.is_ready)
    old = [psutil.Process(running.pid), *psutil.Process(running.pid).parents()[:2]]
    os.kill(pid_of(running, "llm"), signal.SIGKILL)

    def is_restarted() -> bool:
        done = [(event.model, event.cause, event.action) for event in running.events]
        return (SERVER, Cause.DEAD, "restarted") in done and running.is_ready

    assert eventually(is_restarted)
    assert not any(process.is_running() for process in old)


def test_it_drains_and_leaves_nothing(running: Supervisor) -> None:
    server = psutil.Process(running.pid)
    left = [server, *server.parents()[:2], *server.children(recursive=True)]
    assert running.stop() == 0
    assert psutil.wait_procs(left, BOUND_S)[1] == []
