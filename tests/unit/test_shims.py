"""Every generated model.py under the fake stub, configured by its own config.pbtxt."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2 as schema

from builders.spec import ROOT
from ensembles.collections import STORE_VARIABLE
from ensembles.contracts import SOURCES
from ensembles.manifest import read_manifest
from ensembles.served_models import PYTHON_MODELS
from python_backends.stages import encoder, llm
from python_backends.stores.lance_store import LanceStore
from python_backends.stores.store import Document, Passage
from tests.fakes import folders, triton_stub
from tests.fakes.serving import WAIT_S, FakeLlm, SumEncoder, strings
from tests.fakes.triton_stub import InferenceRequest, InferenceResponse, Tensor

REPOSITORY = ROOT / "model_repository"
SHIMS = sorted(REPOSITORY.glob("*/1/model.py"))


def sources(prefix: str = "") -> dict[str, np.ndarray]:
    return {
        f"{prefix}sources": strings("s"),
        f"{prefix}source_document": np.array([0], np.int32),
        f"{prefix}source_similarity": np.array([1], np.float32),
        f"{prefix}source_relevance": np.array([1], np.float32),
    }


def places(role: str) -> dict[str, np.ndarray]:
    return {
        f"{role}_id": strings("d#0"),
        f"{role}_title": strings("D"),
        f"{role}_page": np.array([1], np.int32),
        f"{role}_metadata": strings("{}"),
    }


IDS = {name: np.ones((1, 3), np.int64) for name in ("input_ids", "attention_mask")}
REQUESTS: dict[str, dict[str, np.ndarray]] = {
    "tokenizer": {"input_text": strings("a b")},
    "embedder": IDS,
    "passage_splitter": {"question": strings("q"), "documents": strings("a b", "b")},
    "passage_selector": {
        "query": strings("a"),
        "query_embedding": np.ones((1, 2), np.float32),
        "passage_embedding": np.ones((2, 2), np.float32),
        "passages": strings("a", "b"),
        "passage_document": np.array([0, 1], np.int32),
    },
    "collections": {"operation": strings("list")},
    "vector_search": {
        "query": strings("a"),
        "query_embedding": np.ones((1, 2), np.float32),
        "collection": strings("letters"),
    },
    "pair_tokenizer": {"query": strings("a"), "passages": strings("b", "a b")},
    "reranker": {**IDS, "token_type_ids": np.zeros((1, 3), np.int64)},
    "reader_tokenizer": {"query": strings("a"), "passages": strings("b", "a b")},
    "reader": {**IDS, "token_type_ids": np.zeros((1, 3), np.int64)},
    "reader_ranker": {
        **{f"ranked_{name}": value for name, value in sources().items()},
        **{f"ranked_{name}": value for name, value in places("source").items()},
        "read_relevance": np.array([[1]], np.float32),
    },
    "source_ranker": {
        "candidates": strings("a"),
        "candidates_in_context": strings("a"),
        "candidate_document": np.array([0], np.int32),
        "candidate_similarity": np.array([1], np.float32),
        "candidate_words": np.array([0], np.float32),
        "query_embedding": np.array([[1, 0]], np.float32),
        "sentence_embedding": np.array([[1, 0]], np.float32),
        "sentence_candidate": np.array([0], np.int32),
        "relevance": np.array([[1]], np.float32),
        **places("candidate"),
    },
    "prompt_builder": {"question": strings("a?"), **sources(), **places("source")},
    "llm": {"text_input": strings("a"), **sources(), **places("source")},
    "ensemble": {
        "text_input": strings("a").reshape(1, 1),
        "max_tokens": np.array([[4]], np.int32),
    },
    "ensemble_unary": {"text_input": strings("a"), "max_tokens": np.array([4], np.int32)},
    "rag_cancellable": {"question": strings("a?"), "documents": strings("a b")},
    "answer": {"question": strings("a?"), "collection": strings("letters")},
}


def test_there_is_a_shim_and_a_request_for_every_model():
    assert {path.parent.parent.name for path in SHIMS} == REQUESTS.keys()
    assert {model.contract.name for model in PYTHON_MODELS} == REQUESTS.keys()


def config_json(model: str) -> str:
    text = (REPOSITORY / model / "config.pbtxt").read_text()
    config = text_format.Parse(text, schema.ModelConfig())
    return json_format.MessageToJson(config, preserving_proto_field_name=True)


class Server:
    """Loads shims as the stub does and gives their models one request each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.models: dict[str, object] = {}

    def load(self, shim: Path) -> object:
        name = shim.parent.parent.name
        folder = self.root / name / "1" / "engine"
        tokenizer = folders.word_level(["a", "b", "?", "."])
        folders.make_folder(folder, tokenizer, max_tokens=256)
        spec = spec_from_file_location(f"shim_{name}", shim)
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        model = module.TritonPythonModel()
        model.initialize(
            {
                "model_name": name,
                "model_config": config_json(name),
                "model_repository": str(self.root / name),
                "model_version": "1",
                "model_instance_device_id": "0",
            }
        )
        self.models[name] = model
        return model

    def close(self) -> None:
        for model in self.models.values():
            model.finalize()


def ask(model: object, inputs: dict[str, np.ndarray]) -> InferenceRequest | InferenceResponse:
    request = InferenceRequest([Tensor(name, array) for name, array in inputs.items()])
    answers = model.execute([request])
    return answers[0] if answers else request


def put_letters(root: Path) -> None:
    """A collection of one document, made by the embedder that every folder here has."""
    folder = folders.make_folder(
        root / "any", folders.word_level(["a", "b", "?", "."]), max_tokens=256
    )
    store = LanceStore(root / "collections")
    store.create("letters", read_manifest(folder).embedding_space, 2)
    document = Document("d", [Passage("a b")], np.ones((1, 2), np.float32), title="D")
    store.replace("letters", [document])
    store.close()


@pytest.fixture
def server(pb, monkeypatch, tmp_path):
    engine = FakeLlm(max_request_tokens=256)
    monkeypatch.setattr(
        encoder,
        "load_encoder_engine",
        lambda _, folder: SumEncoder(1 if {"reranker", "reader"} & {*folder.path.parts} else 2),
    )
    monkeypatch.setattr(llm, "load_llm_engine", lambda *_: engine)
    monkeypatch.setenv(STORE_VARIABLE, str(tmp_path / "collections"))
    put_letters(tmp_path)
    server = Server(tmp_path)
    server.engine = engine
    yield server
    server.close()


GRAPHS = ("ensemble", "ensemble_unary", "rag_cancellable", "answer")


@pytest.mark.parametrize(
    "model",
    [m for m in PYTHON_MODELS if m.contract.name not in ("llm", *GRAPHS)],
    ids=lambda m: m.contract.name,
)
def test_plain_models_answer_with_exactly_the_outputs_of_their_contract(server, model):
    name = model.contract.name
    shim = REPOSITORY / name / "1" / "model.py"
    response = ask(server.load(shim), REQUESTS[name])
    assert not response.has_error(), response.error().message()
    outputs = response.outputs()
    assert outputs.keys() == {spec.name for spec in model.contract.outputs}
    for spec in model.contract.outputs:
        assert outputs[spec.name].ndim == len(spec.dims) + model.contract.batched


def test_llm_streams_through_its_shim(server):
    model = server.load(REPOSITORY / "llm" / "1" / "model.py")
    request = ask(model, REQUESTS["llm"])
    server.engine.give(0, [4, 5], "stop")
    ((response, flags),) = request.sender.sent
    assert flags == 1
    assert response.outputs()["text_output"].tolist() == [b"a b"]
    assert {spec.name for spec in SOURCES} < response.outputs().keys()


def answer(**outputs: np.ndarray) -> InferenceResponse:
    return InferenceResponse([Tensor(name, array) for name, array in outputs.items()])


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_run_through_their_shims_and_call_the_other_models(server, name):
    for path in SHIMS:
        if path.parent.parent.name not in ("llm", *GRAPHS):
            inner = server.load(path)
            triton_stub.models[path.parent.parent.name] = lambda r, m=inner: m.execute([r])
    seen = {}

    def fake_llm(request):
        seen.update({t.name(): t.as_numpy() for t in request.inputs()})
        sides = ("input", "output", "cached")
        numbers = {f"num_{side}_tokens": np.array([1], np.int32) for side in sides}
        return [answer(text_output=strings("Hi"), finish_reason=strings("stop"), **numbers)]

    triton_stub.models["llm"] = fake_llm
    model = server.load(REPOSITORY / name / "1" / "model.py")
    request = ask(model, REQUESTS[name])
    assert request.sender.closed.wait(WAIT_S)
    ((response, _),) = request.sender.sent
    assert not response.has_error(), response.error().message()
    assert response.outputs()["text_output"].tolist() == [b"Hi"]
    if name.startswith("ensemble"):
        assert (seen["max_tokens"].tolist(), seen["max_tokens"].dtype) == ([4], np.int32)
    else:
        (_system, user) = json.loads(seen["messages"][0])
        assert user["content"] == "[1] a b\n\nQuestion: a?"
        assert seen["sources"].tolist() == [b"a b"]
