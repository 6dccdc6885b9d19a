"""What a tritonserver that was killed leaves behind; a sleeping process stands in for it."""

import subprocess
import time
from pathlib import Path

import psutil
import pytest

from builders.spec import load_sku
from operations.cpu_server import CpuServer, link_backends, plain_path
from operations.ports import Ports, without_proxy
from operations.preflight import ServingEnvironment
from operations.shared_memory import SharedMemory
from operations.triton_process import ServerError, StartCommand, TritonProcess, last_error
from tests.fakes.serving import WAIT_S


@pytest.mark.parametrize("end", [CpuServer.stop, CpuServer.kill])
def test_an_ended_server_leaves_no_shared_memory(end, tmp_path: Path) -> None:
    found = CpuServer(load_sku("cpu"), Ports(), tmp_path / "log")
    found.shared_memory = SharedMemory(tmp_path)
    ours, others = tmp_path / f"{found.shared_memory.prefix}0b1c", tmp_path / "rag0b1c_0b1c"
    for region in (ours, others):
        region.touch()
    found._process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    end(found)
    assert not ours.exists() and others.exists()


def test_model_processes_that_outlive_their_server_are_ended_with_it(tmp_path: Path) -> None:
    found = CpuServer(load_sku("cpu"), Ports(), tmp_path / "log")
    script = "sleep 60 & echo $!; exit 3"
    found._process = subprocess.Popen(
        ["sh", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert found._process.stdout is not None
    child = int(found._process.stdout.readline())
    found._process.wait(WAIT_S)  # it ends by itself, its child goes on
    assert found.stop() == 3
    deadline = time.monotonic() + WAIT_S
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(child)


@pytest.mark.parametrize(
    ("log", "says"),
    [
        (['E1128 07:09:41.24 14892 model.cc:36] "no engine"', "I1128 07:09:42.1 1 a.cc:1] bye"],
         "no engine"),
        (["I1128 1:1 2 pb_stub.cc:366]  Failed: UnicodeEncodeError: 'ascii'", "ends"],
         "Failed: UnicodeEncodeError: 'ascii'"),
        (["bash: line 1: /tmp/with: No such file or directory", "I1128 1:1 2 a.cc:1] waits"],
         "bash: line 1: /tmp/with: No such file or directory"),
        (["one", "two"], "two"),
        ([], "its log is empty"),
    ],
)  # fmt: skip
def test_a_failed_start_names_the_last_error(log: list[str], says: str) -> None:
    assert last_error(log) == says


def test_a_start_that_fails_begins_with_its_last_error(tmp_path: Path, monkeypatch) -> None:
    script = (
        "echo 'E1128 07:09:41.24 1 model.cc:36] \"no engine\"'; echo 'failed to load all'; exit 3"
    )
    command = StartCommand(["sh", "-c", script], {})
    server = TritonProcess(Ports(), tmp_path, tmp_path / "log", lambda: command)
    monkeypatch.setattr(server, "_is_ready", lambda: False)
    with pytest.raises(ServerError, match=r"^tritonserver ended \(3\): no engine\nfailed to load"):
        server.start()


def test_a_path_that_bash_would_split_becomes_a_link(tmp_path: Path) -> None:
    assert plain_path(Path("/srv/rag-1.0/models"), tmp_path) == Path("/srv/rag-1.0/models")
    for odd in ("with space", "räg", "q'uo\"te", "$HOME", "a;b"):
        repository = tmp_path / odd / "model_repository"
        repository.mkdir(parents=True)
        link = plain_path(repository, tmp_path)
        assert link == tmp_path / "models" and link.resolve() == repository


def test_the_stub_is_a_copy_of_ours(tmp_path: Path) -> None:
    """Triton changes its mode, so that no other account could use the wheel's."""
    environment = ServingEnvironment(Path("/p"), "3.11", "/lib", "1.26.4", tmp_path / "wheel")
    environment.stub.parent.mkdir(parents=True)
    environment.stub.write_text("stub")
    for _ in range(2):  # once more after a restart, with what Triton left
        backends = link_backends(environment, tmp_path, tmp_path)
        linked = backends / "python" / environment.stub.name
        linked.chmod(0o100)
    assert linked.resolve() == tmp_path / environment.stub.name
    assert environment.stub.stat().st_mode & 0o777 != 0o100


def test_a_second_server_does_not_empty_the_log_of_the_first(tmp_path: Path) -> None:
    log = tmp_path / "tritonserver.log"
    log.write_text("of yesterday")
    first, second = (
        TritonProcess(Ports(http=port), tmp_path, log, lambda: StartCommand([], {}))
        for port in (8000, 9000)
    )
    with first._open_log(log) as ours, second._open_log(log) as other:
        ours.write(b"first")
        other.write(b"second")
    assert log.read_text() == "first" and first.log == log
    assert second.log == tmp_path / "tritonserver-9000.log" and second.log.read_text() == "second"


def test_what_asks_this_machine_asks_no_proxy(monkeypatch) -> None:
    monkeypatch.setenv("no_proxy", "intern.example")
    assert without_proxy("127.0.0.1")["no_proxy"] == "intern.example,localhost,127.0.0.1"
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert without_proxy("10.0.0.1") == dict.fromkeys(
        ("no_proxy", "NO_PROXY"), "localhost,10.0.0.1"
    )


def is_running(pid: int) -> bool:
    """Zombies, which nobody may ask after, do not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
