"""`embed` and `rerank` through Triton against the bare engine at batch 32."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tritonclient.grpc import InferenceServerClient

from python_backends.engines import load_encoder_engine
from python_backends.pair_tokenizer import PairTokenizerStage
from python_backends.stage import Tensors
from python_backends.tokenizer import TokenizerStage
from tests.bench.engines import context, folder
from tests.bench.measure import Spread, rates
from tests.server.conftest import text

ROWS = 32
REQUESTS = 12
CONCURRENT = 4
QUERY = "Which port does the gateway listen on?"


def passages() -> list[str]:
    """32 texts of equal length, about 120 tokens with a query: no padding to argue about."""
    words = "the gateway listens on a port that nobody else uses in this valley".split()  # noqa: SIM905
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(words, 100)) for _ in range(ROWS)]


def measure(url: str, repeats: int) -> dict[str, dict[str, Spread]]:
    """Rows per second: `embed` and `rerank`, each bare and through Triton."""
    return {"embed": _embed(url, repeats), "rerank": _rerank(url, repeats)}


def _embed(url: str, repeats: int) -> dict[str, Spread]:
    engine = load_encoder_engine(context("embedder"), folder("embedder"))
    inputs = TokenizerStage(context("tokenizer")).answer(Tensors({"text": _array(passages())}))
    request = [text("input_text", *passages())]
    return _both(lambda: engine.encode(inputs), url, "embed", request, repeats)  # type: ignore[arg-type]


def _rerank(url: str, repeats: int) -> dict[str, Spread]:
    engine = load_encoder_engine(context("reranker"), folder("reranker"))
    pairs = Tensors({"query": _array([QUERY]), "passages": _array(passages())})
    inputs = PairTokenizerStage(context("pair_tokenizer")).answer(pairs)
    request = [text("query", QUERY), text("passages", *passages())]
    return _both(lambda: engine.encode(inputs), url, "rerank", request, repeats)  # type: ignore[arg-type]


def _both(bare, url: str, model: str, request: list, repeats: int) -> dict[str, Spread]:  # type: ignore[no-untyped-def]
    client = InferenceServerClient(url)
    pool = ThreadPoolExecutor(CONCURRENT)

    def run_bare() -> float:
        for _ in range(REQUESTS):
            bare()
        return REQUESTS * ROWS

    def run_triton() -> float:
        list(pool.map(lambda _: client.infer(model, request), range(REQUESTS)))
        return REQUESTS * ROWS

    found = rates({"bare": run_bare, "triton": run_triton}, repeats)
    pool.shutdown()
    client.close()
    return found


def _array(texts: list[str]) -> np.ndarray:
    return np.array([t.encode() for t in texts], dtype=np.object_)
