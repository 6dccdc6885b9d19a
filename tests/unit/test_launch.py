"""Command lines of GPU SKUs, as data; none of them was ever run on a GPU or in the container."""

import json
import os
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from builders.engine_plan import CONTAINER
from builders.errors import BuildError
from builders.spec import ROOT, load_sku
from ensembles.manifest import MANIFEST_FILE
from operations import cli, gpu_server
from operations import gpu_commands as launch
from operations.admin_key import KEY_VARIABLE, restrictions
from operations.gpu_commands import (
    Launch,
    ServedLlm,
    chosen_gpus,
    docker_command,
    tritonserver_command,
)
from operations.gpu_preflight import CONTAINER_PYTHON, REGISTRY
from operations.ports import Ports
from operations.preflight import PreflightError
from operations.triton_process import KEEPALIVE, StartCommand
from tests.fakes import folders

SKU = load_sku("h100-sxm-80gb")
KEY = Path("/rag/build/engines/h100/llama/key")
ENGINE = ServedLlm(
    SKU.name, "gpu", "engine", 1, CONTAINER, Path("/rag/build/engines/h100/llama/key")
)
API = replace(ENGINE, flavour="llm-api")
DOCKERFILES = sorted((ROOT / "builders" / "docker").iterdir())
FLAVOURS = {path.name.removesuffix(".Dockerfile") for path in DOCKERFILES}


def of(llm: ServedLlm, gpus: int = 1, **changes: object) -> Launch:
    return replace(
        Launch(replace(llm, gpus=gpus), Path("/rag/model_repository"), Ports()), **changes
    )


def server(rank: int = 0, *options: str, repositories: int = 2, models: str = "*") -> list[str]:
    """What upstream's launcher gives each rank, and what the supervisor needs of it."""
    folders_ = ["/rag/model_repository", f"{ENGINE.folder}/triton"][:repositories]
    return [
        "/opt/tritonserver/bin/tritonserver",
        *(f"--model-repository={folder}" for folder in folders_),
        "--model-config-name=gpu",
        "--http-address=127.0.0.1",
        "--grpc-address=127.0.0.1",
        "--metrics-address=127.0.0.1",
        "--http-port=8000",
        "--grpc-port=8001",
        "--metrics-port=8002",
        "--model-control-mode=explicit",
        f"--load-model={models}",
        "--exit-timeout-secs=10",
        *KEEPALIVE,
        *options,
        "--http-header-forward-pattern=(?i)^traceparent$",
        "--grpc-header-forward-pattern=(?i)^traceparent$",
        "--disable-auto-complete-config",
        f"--backend-config=python,shm-region-prefix-name=prefix{rank}_",
    ]


class TestTritonserver:
    def test_an_engine_on_one_gpu_needs_no_launcher(self):
        assert list(tritonserver_command(of(ENGINE))) == server()

    def test_leader_mode_has_a_rank_for_each_gpu_and_one_that_serves(self):
        assert list(tritonserver_command(of(ENGINE, 3))) == [
            *("mpirun", "--allow-run-as-root", "-n", "1", *server()),
            *(":", "-n", "1", *server(1, models="tensorrt_llm")),
            *(":", "-n", "1", *server(2, models="tensorrt_llm")),
        ]

    def test_the_llm_api_starts_through_its_launcher(self):
        command = list(tritonserver_command(of(API)))
        assert command == ["trtllm-llmapi-launch", *server(repositories=1)]

    def test_the_llm_api_has_as_many_ranks_as_gpus(self):
        command = list(tritonserver_command(of(API, 4)))
        assert command[:5] == ["mpirun", "--allow-run-as-root", "-n", "4", "trtllm-llmapi-launch"]
        assert command[5:] == server(repositories=1)

    def test_its_launcher_would_part_a_path_with_a_space(self):
        with pytest.raises(BuildError, match="has a space"):
            tritonserver_command(of(API, repository=Path("/my rag/model_repository")))

    @pytest.mark.parametrize("gpus", [1, 2])
    def test_no_two_ranks_share_a_prefix(self, gpus):
        text = " ".join(tritonserver_command(of(ENGINE, gpus)))
        prefixes = re.findall(r"prefix-name=(\S+)", text)
        assert len(prefixes) == len(set(prefixes)) == text.count("tritonserver --model")


class TestDocker:
    def test_the_whole_line(self):
        engines = Path("/rag/build/engines")
        command = docker_command(of(ENGINE, 2), ("0", "1"), engines, Path("/rag"))
        assert shlex.join(command) == (
            "docker run --rm --init --gpus '\"device=0,1\"' --shm-size=2g --stop-timeout=45 "
            "--ulimit memlock=-1 --ulimit stack=67108864 --env=TRITON_RAG_ADMIN_KEY "
            "--env=TRITON_RAG_COLLECTIONS "
            "--publish=127.0.0.1:8000:8000 --publish=127.0.0.1:8001:8001 "
            "--publish=127.0.0.1:8002:8002 --publish=127.0.0.1:8003:8003 --volume=/rag:/rag:ro "
            "--volume=/rag/build/engines:/rag/build/engines "
            "--volume=/rag/build/collections:/rag/build/collections --workdir=/rag "
            f"triton-rag:engine-{CONTAINER} {CONTAINER_PYTHON} -m operations serve "
            "--sku h100-sxm-80gb --address 0.0.0.0 --drain-s 30 --no-gateway "
            "--http-port 8000 --grpc-port 8001 --metrics-port 8002 --health-port 8003"
        )

    def test_what_runs_inside_is_a_command_of_ours(self):
        command = docker_command(of(API), ("0",), Path("/engines"), Path("/rag"))
        name, *inside = command[command.index("operations") + 1 :]
        assert name == "serve"
        assert cli.serve.make_context(name, list(inside)).params["sku"] == SKU.name

    def test_traces_are_asked_for_inside_too(self):
        command = docker_command(of(API, traces="http://10.1.2.3:4318"), ("0",), Path("/engines"))
        assert command[command.index("--traces") + 1] == "http://10.1.2.3:4318"

    def test_all_gpus_have_no_list(self):
        command = docker_command(of(ENGINE), ("all",), Path("/engines"))
        assert command[command.index("--gpus") + 1] == "all"

    def test_the_image_is_built_from_the_container_that_made_the_engine(self):
        command = launch.image_command(replace(API, container="26.04-trtllm-python-py3"))
        assert command == (
            "docker",
            "build",
            "--build-arg=TAG=26.04-trtllm-python-py3",
            "--tag=triton-rag:llm-api-26.04-trtllm-python-py3",
            f"--file={ROOT}/builders/docker/llm-api.Dockerfile",
            str(ROOT),
        )


class TestGpus:
    @pytest.mark.parametrize(
        ("gpus", "text", "chosen"),
        [
            (2, None, ("0", "1")),
            (2, "2,3", ("2", "3")),
            (1, "0,1", ("0", "1")),
            (8, "all", ("all",)),
            (1, "MIG-aa11", ("MIG-aa11",)),
        ],
    )
    def test_chosen(self, gpus, text, chosen):
        assert chosen_gpus(replace(ENGINE, gpus=gpus), text) == chosen

    @pytest.mark.parametrize("text", ["0", "0,0", "0,"])
    def test_as_many_as_the_plan_has(self, text):
        with pytest.raises(BuildError, match=r"split over 2 GPUs .* give 2 different indexes"):
            chosen_gpus(replace(ENGINE, gpus=2), text)

    @pytest.mark.parametrize(
        ("gpus", "text"), [(2, "MIG-a,MIG-b"), (1, "MIG-a,MIG-b"), (2, "MIG-a")]
    )
    def test_slices_serve_no_more_than_one_gpu(self, gpus, text):
        with pytest.raises(BuildError, match="one slice serves a model of tp × pp = 1"):
            chosen_gpus(replace(ENGINE, gpus=gpus), text)


class TestImages:
    def test_there_is_one_for_each_flavour(self):
        assert set(gpu_server._FLAVOURS.values()) == FLAVOURS

    @pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
    def test_they_are_short_and_made_from_the_planned_container(self, path):
        lines = path.read_text().splitlines()
        assert len(lines) <= 20
        assert f"ARG TAG={CONTAINER}" in lines
        assert f"FROM {REGISTRY}:${{TAG}}" in lines
        assert f"ARG PYTHON={CONTAINER_PYTHON}" in lines

    @pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
    def test_what_they_copy_exists_and_is_not_ignored(self, path):
        sources = re.findall(r"^COPY (\S+) ", path.read_text(), re.MULTILINE)
        kept = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
        assert {"ensembles", "python_backends"} <= set(sources)
        assert all((ROOT / source).exists() for source in sources)
        assert {source.split("/")[0] for source in sources} <= set(kept)

    @pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
    def test_nothing_of_the_container_is_replaced_but_openai(self, path):
        text = path.read_text()
        (lock,) = re.findall(r"COPY (requirements/\S+)", text)
        names = {line.split("==")[0] for line in (ROOT / lock).read_text().split()}
        own = {"jinja2", "onnxruntime-gpu", "tokenizers"}
        supervisor = {"click", "prometheus-client", "psutil", "rich"}
        own |= supervisor | {"markdown-it-py", "mdurl", "pygments"}
        own |= {"lancedb", "pyarrow", "deprecation", "psycopg", "psycopg-binary"}
        own |= {"lance-namespace", "lance-namespace-urllib3-client"}
        assert names - own == ({"openai"} if path.name.startswith("llm-api") else set())
        assert text.count(" install ") == text.count("--no-deps -r")

    def test_versions_that_must_agree_do(self):
        gpu = dict(_pins("serve-gpu.lock"))
        assert gpu["tokenizers"] == dict(_pins("build.lock"))["tokenizers"]
        for name in ("lancedb", "pyarrow", "psycopg"):
            assert gpu[name] == dict(_pins("serve-cpu.lock"))[name]
        assert gpu["onnxruntime-gpu"] == dict(_pins("build.lock"))["onnxruntime"]


def _pins(name: str) -> list[tuple[str, ...]]:
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    return [tuple(line.split(" ;")[0].split("==")) for line in lines]


@pytest.fixture
def linked(monkeypatch, tmp_path):
    """An LLM on two GPUs, linked for the SKU; a function that changes its manifest."""
    folder = tmp_path / "repository" / "llm" / "1" / "engine"
    folders.make_folder(folder, folders.word_level(["a"]), role="llm")
    model = folder / "triton" / "tensorrt_llm"
    model.mkdir(parents=True)
    (model / "config.pbtxt").write_text(f'string_value: "{folder}"')
    monkeypatch.setattr(gpu_server, "REPOSITORY", tmp_path / "repository")
    monkeypatch.setattr(launch, "SERVER", str(tmp_path / "tritonserver"))

    def change(**changes: object) -> Path:
        fields = json.loads((folder / MANIFEST_FILE).read_text()) | changes
        (folder / MANIFEST_FILE).write_text(json.dumps(fields))
        return folder

    change(
        sku=SKU.name,
        engine="tensorrtllm-backend",
        plan={"tp": 2, "pp": 1},
        container="26.06-trtllm-python-py3",
    )
    return change


def read() -> ServedLlm:
    return gpu_server.read_llm(SKU, gpu_server.REPOSITORY)


class TestManifest:
    def test_says_all_that_a_line_needs(self, linked):
        assert read() == ServedLlm(
            SKU.name, "gpu", "engine", 2, "26.06-trtllm-python-py3", linked()
        )

    def test_a_checkpoint_needs_no_repository_of_its_own(self, linked):
        folder = linked(engine="tensorrt-llm", plan={"tp": 2, "pp": 2}, container="")
        (folder / "triton" / "tensorrt_llm" / "config.pbtxt").unlink()
        assert read() == ServedLlm(SKU.name, "gpu", "llm-api", 4, CONTAINER, folder)

    def test_without_an_engine_it_says_where_one_is_made(self, linked):
        (linked() / MANIFEST_FILE).unlink()
        with pytest.raises(BuildError, match=f"make build-engines SKU={SKU.name}' makes it"):
            read()

    @pytest.mark.parametrize("changes", [{"engine": "openvino"}, {"plan": {}}])
    def test_of_something_else_is_refused(self, linked, changes):
        linked(**changes)
        with pytest.raises(BuildError, match="needed: tensorrt-llm or tensorrtllm-backend with tp"):
            read()

    def test_an_engine_that_was_moved_is_refused(self, linked):
        config = linked() / "triton" / "tensorrt_llm" / "config.pbtxt"
        config.write_text('string_value: "/elsewhere/key"')
        with pytest.raises(BuildError, match="built under another path"):
            read()
        config.unlink()
        with pytest.raises(BuildError, match=r"no .*config.pbtxt: run 'make build-engines"):
            read()


def serve(*words: str) -> int:
    """Raises what the command raises."""
    arguments = ["serve", "--sku", SKU.name, *words]
    return int(cli.cli.main(arguments, standalone_mode=False))


class TestServe:
    def test_without_docker_it_says_what_to_run_elsewhere(self, linked, monkeypatch):
        monkeypatch.setattr("shutil.which", lambda _: None)
        with pytest.raises(BuildError) as error:
            serve()
        first, build, run, gateway = str(error.value).splitlines()
        assert first.startswith("no 'docker' on this machine")
        assert build.startswith("docker build --build-arg=TAG=26.06-trtllm-python-py3 ")
        assert "--gpus '\"device=0,1\"'" in run and " --no-gateway " in run
        assert "-m gateway serve --port 8080 --triton 127.0.0.1:8000" in gateway

    def test_print_runs_nothing(self, linked, monkeypatch, capsys):
        monkeypatch.setattr("subprocess.run", None)
        assert serve("--print", "--gpus", "all", "--http-port", "9000") == 0
        assert "--publish=127.0.0.1:9000:9000" in capsys.readouterr().out

    def test_the_address_is_the_one_outside_the_container(self, linked, capsys):
        assert serve("--print", "--address", "10.1.2.3") == 0
        line = capsys.readouterr().out
        assert "--publish=10.1.2.3:8000:8000" in line and "--address 0.0.0.0" in line

    def test_the_image_is_built_before_it_is_run(self, linked, monkeypatch, tmp_path):
        """`docker` is a stand-in that notes how it is called, and ends with 3 as `docker run`."""
        docker, calls = tmp_path / "docker", tmp_path / "calls"
        docker.write_text(f"#!/bin/sh\necho $1 >> {calls}\n[ $1 = build ] || exit 3\n")
        docker.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        assert serve("--no-gateway") == 3
        assert calls.read_text().split() == ["build", "run"]

    def test_run_is_refused(self, linked):
        with pytest.raises(BuildError, match="--run is for the cpu SKU"):
            serve("--run", "true")


class TestServeInside:
    @pytest.fixture(autouse=True)
    def container(self, linked, monkeypatch):
        """A machine with the server, that has nothing to object and starts no process."""
        Path(launch.SERVER).touch()
        self.served = []
        monkeypatch.setattr(
            gpu_server,
            "serve_supervised",
            lambda *words, gateway: self.served.append((*words, gateway)) or 3,
        )
        monkeypatch.setattr(gpu_server, "serving_environment", lambda: None)
        monkeypatch.setattr(gpu_server, "gpu_faults", lambda *_: iter(()))
        monkeypatch.setattr(gpu_server, "CONTAINER_PYTHON", Path(sys.executable))
        monkeypatch.setattr(gpu_server, "PACKAGES", ("json",))
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")

    def prepared(self) -> StartCommand:
        ((server, _settings, _port, _gateway),) = self.served
        return server._checked_command()

    def test_the_printed_line_is_supervised(self, capsys):
        assert serve("--drain-s", "9", "--health-port", "9003") == 3
        ((server, settings, port, gateway),) = self.served
        assert (settings.drain_s, port) == (9.0, 9003)
        assert gateway.command()[-2:] == ("--drain-s", "9.0")
        words = self.prepared().words
        assert words[
            0
        ] == "mpirun" and f"prefix-name={server.shared_memory.prefix}0_" in shlex.join(words)
        assert capsys.readouterr().out == shlex.join(words) + "\n"
        assert "CUDA_VISIBLE_DEVICES" not in self.prepared().variables

    def test_gpus_become_those_that_cuda_sees(self):
        serve("--gpus", "2,3")
        assert self.prepared().variables["CUDA_VISIBLE_DEVICES"] == "2,3"

    def test_traces_go_to_the_collector(self):
        serve("--traces")
        found = self.prepared()
        assert "--trace-config=opentelemetry,url=http://127.0.0.1:4318/v1/traces" in found.words
        assert found.variables["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4318"

    def test_loads_need_the_key_beyond_127_0_0_1_and_it_is_not_printed(self, capsys, monkeypatch):
        monkeypatch.setenv(KEY_VARIABLE, "0123456789abcdef")
        serve("--address", "0.0.0.0")
        assert set(restrictions("0123456789abcdef")) <= set(self.prepared().words)
        assert "0123456789abcdef" not in capsys.readouterr().out

    def test_print_runs_and_checks_nothing(self, monkeypatch):
        monkeypatch.setattr(gpu_server, "gpu_faults", None)
        assert serve("--print") == 0
        assert self.served == []

    def test_faults_come_before_the_server(self, monkeypatch):
        monkeypatch.setattr(gpu_server, "gpu_faults", lambda *_: iter(["no GPU"]))
        monkeypatch.setattr(gpu_server, "PACKAGES", ("json", "no_such_package", "nor_this"))
        serve()
        with pytest.raises(PreflightError) as error:
            self.prepared()
        first, second = str(error.value).splitlines()
        assert first == "no GPU"
        assert "has no no_such_package, nor_this, which the models import" in second
        assert second.endswith(
            "builders/docker/engine.Dockerfile (triton-rag:engine-26.06-trtllm-python-py3)"
        )
