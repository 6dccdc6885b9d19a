"""A server that is started for another SKU than `cpu` runs that SKU's configs and engines."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import tritonclient.grpc as grpcclient
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as schema

from builders.render import BASE, render
from builders.repository import REPOSITORY, engine_links, write
from builders.spec import Sku, load_pipeline, load_sku
from ensembles.manifest import MANIFEST_FILE, read_manifest
from operations.cpu_server import CpuServer
from operations.ports import free_ports
from tests.server.conftest import Server, text, until_killed

CPU = load_sku(BASE)
EMBEDDER = CPU.place("embedder")
ON_ONNXRUNTIME = EMBEDDER.model_copy(
    update={
        "max_queue_size": 7,
        "parameters": EMBEDDER.parameters | {"engine": "onnxruntime", "provider": "cpu"},
    }
)
MADE_UP = Sku(
    name="made-up",
    config_name="made-up",
    placement=CPU.placement | {"embedder": ON_ONNXRUNTIME},
)
"""The embedder as GPU SKUs have it, on the device that is here."""


def lend_engine(source: Path, target: Path) -> None:
    """The engine of one SKU in the name of another: the same files, a manifest of its own."""
    target.mkdir(parents=True)
    for file in source.resolve().iterdir():
        if file.name != MANIFEST_FILE:
            (target / file.name).symlink_to(file)
    manifest = dataclasses.replace(read_manifest(source), sku=MADE_UP.name)
    (target / MANIFEST_FILE).write_text(manifest.to_json())


def make_repository(folder: Path) -> Path:
    """Our models for both SKUs, with the engines of the CPU."""
    folder.mkdir(exist_ok=True)
    write(render([CPU, MADE_UP], load_pipeline()), folder)
    links = zip(engine_links(REPOSITORY), engine_links(folder), strict=True)
    for source, target in links:
        lend_engine(source, target)
    return folder


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def made_up(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[grpcclient.InferenceServerClient]:
    log = tmp_path_factory.mktemp("made-up") / "tritonserver.log"
    with (
        until_killed(CpuServer(MADE_UP, free_ports(), log, repository)) as running,
        grpcclient.InferenceServerClient(f"127.0.0.1:{running.ports.grpc}") as client,
    ):
        yield client


def configs(folder: Path) -> dict[str, str]:
    """For each model whose config the made-up SKU takes."""
    return {
        path.name: MADE_UP.name if (path / f"configs/{MADE_UP.name}.pbtxt").is_file() else BASE
        for path in folder.iterdir()
    }


def test_a_model_has_a_config_of_its_own_only_where_it_differs(repository: Path) -> None:
    found = configs(repository)
    assert [name for name, owner in found.items() if owner == MADE_UP.name] == ["embedder"]


def test_triton_takes_the_config_of_the_sku_or_else_the_first(
    made_up: grpcclient.InferenceServerClient, repository: Path
) -> None:
    for model, owner in configs(repository).items():
        file = "config.pbtxt" if owner == BASE else f"configs/{MADE_UP.name}.pbtxt"
        rendered = text_format.Parse((repository / model / file).read_text(), schema.ModelConfig())
        live = made_up.get_model_config(model).config
        assert live.max_batch_size == rendered.max_batch_size
        assert live.parameters == rendered.parameters
        assert live.ensemble_scheduling == rendered.ensemble_scheduling
        assert live.input == rendered.input
        assert (
            live.dynamic_batching.default_queue_policy.max_queue_size
            == rendered.dynamic_batching.default_queue_policy.max_queue_size
        )
    live = made_up.get_model_config("embedder").config
    assert live.dynamic_batching.default_queue_policy.max_queue_size == 7
    assert live.parameters["engine"].string_value == "onnxruntime"


def test_a_graph_runs_on_either(made_up: grpcclient.InferenceServerClient, server: Server) -> None:
    """OpenVINO on the one, ONNX Runtime with bound tensors on the other."""
    inputs = text("input_text", "Vebra listens on port 8123.", "A", "word " * 300)
    expected = server.infer("embed", inputs).as_numpy("embedding")
    found = made_up.infer("embed", [inputs]).as_numpy("embedding")
    assert (found * expected).sum(axis=1).min() > 0.999
