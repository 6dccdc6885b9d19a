"""`embed` and `rerank`: the numbers of the reference implementations, merged or alone."""

import contextlib
import json
import os
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from builders.checkpoint_files import answer_weights
from ensembles.metrics import LARGE_REQUESTS
from operations import model_processes
from tests.server.cancellation import standing_still
from tests.server.checkpoints import checkpoint, served_spec
from tests.server.conftest import Server, gauge, seen, tensor, text

TEXTS = (
    "Vebra listens on port 8123.",
    "A",
    "Ein längerer Satz mit Umlauten: äöü, und mit Emoji 🚀🚀.",
    "日本語の文章です。",
    "word " * 400,  # longer than the encoder: cut, as sentence-transformers does
    "line one\nline two\n\n  indented",
)


def embed(server: Server, *texts: str) -> np.ndarray:
    return server.infer("embed", text("input_text", *texts)).as_numpy("embedding")


def test_embeddings_equal_sentence_transformers(server: Server) -> None:
    from sentence_transformers import SentenceTransformer

    expected = SentenceTransformer(str(checkpoint("embedder")), device="cpu").encode(list(TEXTS))
    found = embed(server, *TEXTS)
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    assert (found * expected).sum(axis=1).min() > 0.9999


def test_a_row_does_not_depend_on_its_neighbours(server: Server) -> None:
    together = embed(server, *TEXTS)
    alone = np.concatenate([embed(server, t) for t in TEXTS])
    assert (together * alone).sum(axis=1).min() > 0.9999


def test_relevance_is_that_of_the_reference(server: Server) -> None:
    import torch

    from tests.bench.peers.rankers import load_ranker

    query, passages = "What is the port of Vebra?", [*TEXTS[:4], TEXTS[5]]
    spec = served_spec("reranker")
    reference = load_ranker(checkpoint("reranker"), torch.float32, str(answer_weights(spec)))
    (expected,) = reference.relevance([(query, passages)])
    found = server.infer("rerank", text("query", query), text("passages", *passages))
    relevance = found.as_numpy("relevance")[:, 0]
    # Logits from -5 to 5, computed in bf16 where the CPU has it.
    np.testing.assert_allclose(relevance, expected.numpy(), atol=0.15, rtol=0)
    assert np.argmax(relevance) == np.argmax(expected.numpy()) == 0


def test_rows_of_different_requests_merge(server: Server) -> None:
    """Triton's own statistics: far fewer executions than requests when requests come together."""
    texts = [f"text number {i} " + "word " * i for i in range(64)]
    rows_before, executions_before = server.executions("embedder")
    tokenized_before, _ = server.executions("tokenizer")
    with ThreadPoolExecutor(len(texts)) as pool:
        with standing_still(server, "embedder"):
            asked = [pool.submit(embed, server, each) for each in texts]
            seen(
                lambda: server.executions("tokenizer")[0] - tokenized_before,
                lambda tokenized: tokenized >= len(texts),
            )
        found = np.concatenate([each.result() for each in asked])
    # Triton counts an execution after it has answered.
    _, executions_after = seen(
        lambda: server.executions("embedder"), lambda now: now[0] >= rows_before + len(texts)
    )
    executions = executions_after - executions_before
    assert executions < len(texts) / 2, f"{executions} executions for {len(texts)} requests"
    assert (found * embed(server, *texts)).sum(axis=1).min() > 0.9999


def test_a_small_request_does_not_wait_for_a_large_one(server: Server) -> None:
    texts = [f"large {n} " + "word " * 120 for n in range(512)]
    with ThreadPoolExecutor(1) as pool:
        large = pool.submit(embed, server, *texts)
        seen(lambda: gauge(server, LARGE_REQUESTS.name), lambda count: count == 1)
        embed(server, "small")
        assert not large.done()
        found = large.result()
    some = slice(0, 512, 64)
    assert (found[some] * embed(server, *texts[some])).sum(axis=1).min() > 0.9999


@pytest.mark.parametrize("model", ["embedder", "reranker"])
def test_an_engine_ties_no_thread_to_a_core(server: Server, model: str) -> None:
    """Engines of several processes would choose the same ones (docs/decisions/0020)."""
    (pid,) = (one.pid for one in model_processes.find(server.pid).living if one.model == model)
    texts = [f"passage {n} " + "word " * 90 for n in range(64)]
    rerank = [text("query", "q"), text("passages", *texts)]
    allowed = set()
    with ThreadPoolExecutor(2) as pool:
        work = [pool.submit(server.infer, "rerank", *rerank), pool.submit(embed, server, *texts)]
        is_over = False
        while not is_over:
            is_over = all(one.done() for one in work)  # so that there is a look in any case
            for thread in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(ProcessLookupError):  # it ended since it was listed
                    allowed.add(frozenset(os.sched_getaffinity(int(thread.name))))
    assert allowed == {frozenset(os.sched_getaffinity(0))}


@pytest.mark.parametrize(
    ("model", "inputs", "says"),
    [
        ("embed", [text("input_text", b"\xff\xfe")], "not valid UTF-8"),
        ("embed", [text("input_text", "a", " ")], "text[1]: empty"),
        ("embed", [tensor("input_text", [], "BYTES")], "none given"),
        ("embed", [tensor("input_text", [1], "INT32")], "INT32"),
        ("embed", [tensor("input_text", [["a", "b"]], "BYTES")], "shape"),
        ("rerank", [text("query", "q")], "missing required input(s) ['passages']"),
        ("rerank", [text("query", "q"), tensor("passages", [], "BYTES")], "none given"),
        ("rerank", [text("query", "q " * 600), text("passages", "p")], "leave room"),
        ("rerank", [text("query", "a", "b"), text("passages", "p")], "shape"),
        ("embedder", [tensor("input_ids", [[1] * 9], "INT64")], "attention_mask"),
        (
            "embedder",
            [
                tensor("input_ids", [[1] * 9], "INT64"),
                tensor("attention_mask", [[1] * 8], "INT64"),
            ],
            "attention_mask: 8 tokens given; input_ids has 9",
        ),
        (
            "embedder",
            [
                tensor("input_ids", [[1] * 999], "INT64"),
                tensor("attention_mask", [[1] * 999], "INT64"),
            ],
            "999 tokens",
        ),
    ],
)
def test_bad_input_is_refused_for_that_request_alone(
    server: Server, model: str, inputs: list, says: str
) -> None:
    with ThreadPoolExecutor(2) as pool:
        neighbour = pool.submit(embed, server, "a neighbour")
        with pytest.raises(InferenceServerException) as caught:
            server.infer(model, *inputs)
        assert np.isfinite(neighbour.result()).all()
    assert says in caught.value.message()
    assert "Traceback" not in caught.value.message()
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_litellm_embeds_over_http(server: Server) -> None:
    """What LiteLLM's triton provider sends and reads."""
    tensors = {"name": "input_text", "shape": [2], "datatype": "BYTES", "data": ["one", "two"]}
    request = urllib.request.Request(
        f"http://{server.http_url}/v2/models/embed/infer",
        json.dumps({"inputs": [tensors]}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        (output,) = json.load(answer)["outputs"]
    rows, width = output["shape"]
    found = np.array(output["data"], dtype=np.float32).reshape(rows, width)
    assert (found * embed(server, "one", "two")).sum(axis=1).min() > 0.9999
