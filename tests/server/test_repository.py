"""The server runs what was rendered, and nothing that it guessed."""

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as schema

from builders.repository import REPOSITORY
from builders.served import ENSEMBLES, PYTHON_MODELS
from tests.server.conftest import Server, text

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
    from builders.server import ENVIRONMENT

    (site,) = (ENVIRONMENT / "lib").glob("python*/site-packages")
    names = {path.name.lower() for path in site.iterdir()}
    assert "openvino_genai" in names
    assert not {n for n in names if n == "torch" or n.startswith(("nvidia_cu", "cuda"))}


def test_rows_of_different_requests_merge(server: Server) -> None:
    """Triton's own statistics: fewer executions than requests when requests come together."""
    rows, executions = server.executions("embedder")
    texts = [f"text number {i} " + "word " * i for i in range(48)]
    handles = [
        server.client.async_infer("embed", [text("input_text", t)], lambda result, error: None)
        for t in texts
    ]
    for handle in handles:
        handle.get_result() if hasattr(handle, "get_result") else None
    alone = server.infer("embed", text("input_text", *texts)).as_numpy("embedding")
    more_rows, more_executions = server.executions("embedder")
    while more_rows - rows < 2 * len(texts):
        more_rows, more_executions = server.executions("embedder")
    assert more_rows - rows == 2 * len(texts)
    assert more_executions - executions < len(texts) / 2
    assert np.isfinite(alone).all()
