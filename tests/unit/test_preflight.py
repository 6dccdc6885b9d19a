"""Preflight: each thing that would keep the server from serving is one sentence."""

import json
import os
import shutil
import socket
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from builders.repository import REPOSITORY
from builders.spec import Sku
from operations import cpu_server, ports, preflight
from operations.cpu_server import CpuServer
from operations.ports import Ports
from operations.preflight import PreflightError, ServingEnvironment, faults, probe
from tests.fakes import folders

SKU = Sku(name="cpu", config_name="cpu", placement={})
PORTS = Ports()
GOOD = ServingEnvironment(Path("/env/bin/python3"), "3.11", "/lib", "1.26.4", Path("/triton"))


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine where all is well; tests break one thing by setting a field."""
    folder = tmp_path / "llm" / "1" / "engine"
    folders.make_folder(folder, folders.word_level(["a"]))
    environment = replace(GOOD, triton=tmp_path / "triton")
    environment.stub.parent.mkdir(parents=True)
    environment.stub.touch()
    state = SimpleNamespace(
        environment=environment,
        repository=tmp_path,
        ldd="libpython3.11.so.1.0 => /lib/libpython3.11.so.1.0\n",
        taken=(),
        free=10 * 2**30,
        folder=folder,
        sku=SKU,
    )

    class Socket:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def setsockopt(self, *_):
            return None

        def bind(self, address):
            if address[1] in state.taken:
                raise OSError("Address already in use")

    sockets = SimpleNamespace(
        socket=Socket, SOL_SOCKET=socket.SOL_SOCKET, SO_REUSEADDR=socket.SO_REUSEADDR
    )
    run = SimpleNamespace(run=lambda *_, **__: SimpleNamespace(stdout=state.ldd))
    disk = SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=state.free))
    monkeypatch.setattr(ports, "socket", sockets)
    monkeypatch.setattr(preflight, "subprocess", run)
    monkeypatch.setattr(preflight, "shutil", disk)
    monkeypatch.setattr(preflight, "SHARED_MEMORY", tmp_path / "shm")
    (tmp_path / "shm").mkdir()
    state.links = [folder]
    links = {tmp_path: state.links}
    monkeypatch.setattr(preflight, "engine_links", lambda repository: links[repository])
    return state


def found(machine) -> list[str]:
    work = machine.repository / "work"
    return list(faults(machine.environment, machine.sku, PORTS, machine.repository, work))


def test_a_machine_that_can_serve_has_no_faults(machine):
    assert found(machine) == []


def test_without_libpython_the_server_would_hang(machine):
    machine.ldd = "\tlibpython3.11.so.1.0 => not found\n\tlibc.so.6 => /lib/libc.so.6\n"
    (line,) = found(machine)
    assert line.startswith("libpython3.11.so.1.0 not found (the server would hang")
    assert "apt-get install libpython3.11" in line


def test_without_the_stub_of_this_python_nothing_loads(machine):
    machine.environment.stub.unlink()
    triton = machine.environment.triton
    assert found(machine) == [f"no stub for Python 3.11 in {triton}: run 'make setup'"]


@pytest.mark.parametrize("numpy", ["2.1.0", ""])
def test_numpy_2_corrupts_tensors(machine, numpy):
    machine.environment = replace(machine.environment, numpy=numpy)
    (line,) = found(machine)
    assert line.startswith(f"numpy {numpy or 'missing'} in the serving environment")
    assert "numpy 1.26 is needed" in line


def test_a_taken_port_says_which_option_chooses_another(machine):
    machine.taken = (8001,)
    assert found(machine) == ["port 8001 (grpc) is taken; choose others with --grpc-port"]


def test_too_little_space_names_both_places(machine):
    machine.free = 10 * 2**20
    disk, memory = found(machine)
    folder = machine.repository
    assert disk.startswith(f"disk: 10 MiB free in {folder / 'work'}, 64 MiB needed; name another")
    assert memory.startswith(f"shared memory: 10 MiB free in {folder / 'shm'}, 256 MiB needed")


def test_folders_that_cannot_be_written_say_why(machine, monkeypatch):
    """/proc takes no folders of anybody, root included."""
    user, nowhere = f"user id {os.geteuid()} can't use it", Path("/proc/nowhere")
    monkeypatch.setattr(preflight, "SHARED_MEMORY", nowhere)
    work, memory = faults(machine.environment, SKU, PORTS, machine.repository, nowhere / "work")
    assert work.startswith(f"/proc/nowhere/work: {user} (No such file or directory); name another")
    assert work.endswith("with --work-folder")
    assert memory.startswith(f"/proc/nowhere: {user} (No such file or directory); models share")


def test_a_work_folder_is_made(machine):
    assert found(machine) == [] and (machine.repository / "work").is_dir()


def test_ldd_is_found_without_a_path(machine, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert preflight.with_system_folders() == "/nowhere:/usr/local/bin:/usr/bin:/bin"
    monkeypatch.delenv("PATH")
    assert preflight.with_system_folders().endswith(":/usr/bin:/bin")


def test_a_missing_engine_says_how_to_make_it(machine):
    shutil.rmtree(machine.folder)
    (line,) = found(machine)
    assert line.startswith("model 'llm': no manifest.json in ")
    assert line.endswith("run 'make build-engines'")


def test_a_half_copied_engine_is_named(machine):
    (machine.folder / "tokenizer_config.json").unlink()
    (line,) = found(machine)
    assert line == (
        f"model 'llm': {machine.folder} lacks tokenizer_config.json: run 'make build-engines'"
    )


def test_a_changed_tokenizer_is_found(machine):
    folders.word_level(["b"]).save(str(machine.folder / "tokenizer.json"))
    (line,) = found(machine)
    assert "has changed since the build" in line


def test_an_engine_of_another_sku_is_refused(machine):
    machine.sku = Sku(name="h100", config_name="h100", placement={})
    assert found(machine) == [
        "model 'llm': the engine was built for 'cpu', not 'h100'; run 'make build-engines SKU=h100'"
    ]


def test_a_graph_without_what_it_calls_is_named(machine):
    for model in ("tokenizer", "embed", "ensemble_unary"):
        (machine.repository / model).mkdir()
    there = f"not found in {machine.repository}"
    assert found(machine) == [
        f"model 'embed' calls embedder, {there}: add what it calls, or remove 'embed'"
    ]


def test_one_fault_of_several_models_is_one_sentence(machine):
    machine.sku = Sku(name="h100", config_name="h100", placement={})
    other = machine.repository / "prompt_builder" / "1" / "engine"
    shutil.copytree(machine.folder, other)
    machine.links.append(other)
    (line,) = found(machine)
    assert line.startswith("models 'llm', 'prompt_builder': the engine was built for 'cpu', not")


def test_a_damaged_manifest_is_named(machine):
    for text in (b"", b'{"role": "llm"', b"\xff\xfe\x00", b"[]"):
        (machine.folder / "manifest.json").write_bytes(text)
        (line,) = found(machine)
        assert line.startswith(f"model 'llm': {machine.folder}/manifest.json: not a manifest of")
        assert line.endswith("; rebuild")


def test_all_faults_come_at_once(machine):
    machine.taken, machine.ldd, machine.free = (8000,), "libx.so => not found", 0
    machine.environment = replace(machine.environment, numpy="2.0.0")
    shutil.rmtree(machine.folder)
    assert len(found(machine)) == 6
    machine.environment.stub.unlink()
    assert len(found(machine)) == 6


def test_engines_are_looked_for_in_the_repository_that_is_served(machine, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        preflight, "engine_links", lambda repository: asked.append(repository) or []
    )
    list(faults(machine.environment, SKU, PORTS))
    list(faults(machine.environment, SKU, PORTS, tmp_path))
    assert asked == [REPOSITORY, tmp_path]


def test_a_server_checks_its_own_repository(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(cpu_server, "probe", lambda _: machine.environment)
    shutil.rmtree(machine.folder)
    with pytest.raises(PreflightError, match=f"^model 'llm': no manifest.json in {tmp_path}"):
        CpuServer(SKU, Ports(), tmp_path / "log", tmp_path).start()
    assert not (tmp_path / "log").exists(), "nothing was started"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"version": "3.13"}, "Python 3.13 in .*; the Triton wheel serves with 3.11 or 3.12"),
        ({"triton": ""}, "nvidia-pytriton is not installed in .*: run 'make setup'"),
    ],
)
def test_an_environment_that_cannot_serve_at_all(tmp_path, answer, says):
    fields = {"version": "3.11", "library_folder": "", "numpy": "1.26.4", "triton": "/t"} | answer
    with pytest.raises(PreflightError, match=says):
        probe(environment_whose_python(tmp_path, f"echo '{json.dumps(fields)}'"))


def environment_whose_python(tmp_path, does: str) -> Path:
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{does}\n")
    python.chmod(0o755)
    return tmp_path


def test_a_python_that_does_not_start_is_no_traceback(tmp_path):
    environment = environment_whose_python(tmp_path, "echo 'no module site' >&2; exit 1")
    with pytest.raises(PreflightError, match=r"does not run as Triton runs it \(no module site\)"):
        probe(environment)


def test_paths_outside_ascii_are_read_in_the_locale_of_the_stub(tmp_path):
    environment = environment_whose_python(tmp_path / "räg", f'exec {sys.executable} "$@"')
    with pytest.raises(PreflightError, match=r"nvidia-pytriton is not installed in .*räg: run"):
        probe(environment)
    assert preflight._path("/r\udcc3\udca4g") == Path("/räg")


def test_no_environment_at_all(tmp_path):
    with pytest.raises(PreflightError, match=f"no serving environment in {tmp_path}"):
        probe(tmp_path)


def test_the_stub_is_that_of_the_python_version():
    assert GOOD.stub == Path("/triton/python_backend_stubs/3.11/triton_python_backend_stub")
