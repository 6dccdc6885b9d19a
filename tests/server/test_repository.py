"""The server runs what was rendered, and nothing that it guessed."""

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as schema

from builders.repository import REPOSITORY
from ensembles.served_models import ENSEMBLES, PYTHON_MODELS
from tests.server.conftest import Server

MODELS = [m.contract.name for m in PYTHON_MODELS] + [graph.name for graph in ENSEMBLES]


@pytest.mark.parametrize("model", MODELS)
def test_live_config_has_every_rendered_field(server: Server, model: str) -> None:
    rendered = text_format.Parse(
        (REPOSITORY / model / "config.pbtxt").read_text(), schema.ModelConfig()
    )
    live = server.client.get_model_config(model).config
    for field, value in rendered.ListFields():
        found = getattr(live, field.name)
        if field.name == "instance_group":  # the server names the groups
            assert [(g.count, g.kind) for g in found] == [(g.count, g.kind) for g in value]
        elif field.name == "dynamic_batching":
            assert found.max_queue_delay_microseconds == value.max_queue_delay_microseconds
            assert found.default_queue_policy == value.default_queue_policy
        else:
            assert found == value, field.name


def test_serving_environment_has_neither_torch_nor_cuda() -> None:
    from operations.cpu_server import ENVIRONMENT

    (site,) = (ENVIRONMENT / "lib").glob("python*/site-packages")
    names = {path.name.lower() for path in site.iterdir()}
    assert "openvino_genai" in names
    assert not {n for n in names if n == "torch" or n.startswith(("nvidia_cu", "cuda"))}
