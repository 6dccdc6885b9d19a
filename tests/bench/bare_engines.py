"""Variants without a server: our engine classes called in this process, which is the limit of what
our server can reach, and sentence-transformers as a library.
"""

import asyncio
import itertools
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from builders.repository import REPOSITORY, engine_link
from builders.spec import ENGINE_LINK, load_pipeline, load_sku
from ensembles.manifest import read_manifest
from python_backends.context import EngineFolder, StageContext
from python_backends.engines.encoder_engine import EncoderEngine, compute_batches
from python_backends.engines.llm_engine import Delta, GenerationParams
from python_backends.engines.load import load_encoder_engine, load_llm_engine
from python_backends.generation.chat_template import ChatTemplate, strict_template
from python_backends.sentences import sentences
from python_backends.stages.pair_tokenizer import PairTokenizerStage, ReaderTokenizerStage
from python_backends.stages.tokenizer import TokenizerStage
from python_backends.tensors import Outputs, Tensors
from python_backends.tokenization import load_tokenizer
from tests.bench.peer_process import model_settings
from tests.bench.rag_limits import ANSWER_TOKENS, CANDIDATES, SOURCES
from tests.fakes.serving import FakeMeter
from tests.load.loops import Window
from tests.load.records import Outcome, Record, Response
from tests.load.workloads import Embed, Generate, Rag, Request, Rerank


def context(model: str, repository: Path = REPOSITORY) -> StageContext:
    """What the server loads `model` with on the cpu SKU, without a server to call back."""
    parameters = load_sku("cpu").place(model).parameters | load_pipeline().stages.get(model, {})
    values = {key: str(value) for key, value in parameters.items()}
    values["engine_folder"] = ENGINE_LINK
    folder = repository / model / "1"
    return StageContext(folder, values, None, FakeMeter())  # type: ignore[arg-type]


def folder(model: str, repository: Path = REPOSITORY) -> EngineFolder:
    """The engine folder that `model` reads."""
    path = engine_link(model, repository)
    return EngineFolder(path, read_manifest(path))


class Library:
    """Calls something that blocks, one request at a time, in a thread of its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)

    async def send(self, job: tuple[float, Callable[[], Any]]) -> AsyncIterator[float]:
        """(work, call)."""
        work, call = job
        await asyncio.get_running_loop().run_in_executor(self._thread, call)
        yield work

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()


class BareEncoders:
    """The encoder engines with rows that are tokenized already."""

    def __init__(self) -> None:
        self._embedder = load_encoder_engine(context("embedder"), folder("embedder"))
        self._reranker = load_encoder_engine(context("reranker"), folder("reranker"))
        self._reader = load_encoder_engine(context("reader"), folder("reader"))
        self._tokenizer = TokenizerStage(context("tokenizer"))
        self._pair_tokenizer = PairTokenizerStage(context("pair_tokenizer"))
        self._reader_tokenizer = ReaderTokenizerStage(context("reader_tokenizer"))

    def prepare(self, request: Request) -> tuple[float, Callable[[], Any]]:
        """Rows and the call for `Embed` or `Rerank`."""
        match request:
            case Embed(texts):
                inputs = self._tokenizer.answer(Tensors({"input_text": _array(texts)}))
                call = self._call(self._embedder, inputs)
            case Rerank(query, texts):
                pairs = Tensors({"query": _array([query]), "passages": _array(texts)})
                call = self._call(self._reranker, self._pair_tokenizer.answer(pairs))
            case other:
                raise ValueError(f"{type(other).__name__}: an encoder takes Embed or Rerank")
        return float(len(texts)), call

    def reading(self, query: str, passages: Sequence[str]) -> Callable[[], Any]:
        """The call of the reader."""
        pairs = Tensors({"query": _array([query]), "passages": _array(passages)})
        return self._call(self._reader, self._reader_tokenizer.answer(pairs))

    def _call(self, engine: EncoderEngine, inputs: Outputs) -> Callable[[], Any]:
        batches = list(_packed({name: np.asarray(value) for name, value in inputs.items()}))
        return lambda: engine.encode(batches)


class BareRag:
    """The four engines, with rows and prompt ready: what nothing that computes all of it exceeds.

    Rows of different requests don't share a batch; the LLM decodes requests together.
    """

    def __init__(self, encoders: BareEncoders) -> None:
        self._encoders, self._thread = encoders, ThreadPoolExecutor(1)
        self._tokenizer = load_tokenizer(folder("llm"))
        self._template = ChatTemplate.load(folder("llm"))
        self._prompt = folder("llm").manifest.prompt
        self._user = strict_template(self._prompt.user, "the user template")
        self._engine = load_llm_engine(context("llm"), folder("llm"))

    def prepare(self, request: Request) -> tuple[list[Callable[[], Any]], list[int]]:
        """Calls of the encoders, and ids of the prompt: its first passages stand for the best."""
        assert isinstance(request, Rag)
        question, passages = request.question, request.passages
        candidates = passages[:CANDIDATES]
        texts = tuple(text for passage in candidates for text in sentences(passage))
        calls = [
            self._encoders.prepare(request)[1]
            for request in (
                Embed((question, *passages)), Embed(texts), Rerank(question, candidates)
            )
        ]  # fmt: skip
        calls.append(self._encoders.reading(question, passages[:SOURCES]))
        lines = [" ".join(each.split()) for each in passages[:SOURCES][: self._prompt.num_sources]]
        user = {"role": "user", "content": self._user.render(question=question, sources=lines)}
        system = self._prompt.system
        turns = [{"role": "system", "content": system}] if system else []
        prompt = self._template.render([*turns, user])
        return calls, self._tokenizer.encode(prompt, add_special_tokens=False).ids

    async def send(self, job: tuple[list[Callable[[], Any]], list[int]]) -> AsyncIterator[float]:
        """One question."""
        calls, ids = job
        loop, is_over = asyncio.get_running_loop(), asyncio.Event()
        for call in calls:
            await loop.run_in_executor(self._thread, call)

        def sink(delta: Delta) -> None:
            if delta.finish_reason:
                loop.call_soon_threadsafe(is_over.set)

        params = GenerationParams(
            max_tokens=ANSWER_TOKENS, min_tokens=ANSWER_TOKENS, seed=0, stop_words=()
        )
        self._engine.submit(ids, params, sink)
        await is_over.wait()
        yield 1.0

    def close(self) -> None:
        """End the threads."""
        self._thread.shutdown()
        self._engine.close()


class SentenceTransformers:
    """`encode` and `predict` in this process, as the peers call them."""

    def __init__(self) -> None:
        os.environ.update(model_settings())
        from tests.bench.peers.models import Models

        self._models = Models(threads=2)

    def prepare(self, request: Request) -> tuple[float, Callable[[], Any]]:
        """Rows and the call for `Embed` or `Rerank`."""
        match request:
            case Embed(texts):
                body: dict[str, Any] = {"texts": list(texts)}
                return float(len(texts)), lambda: self._models.answer("embed", [body])
            case Rerank(query, passages):
                body = {"query": query, "passages": list(passages)}
                return float(len(passages)), lambda: self._models.answer("rerank", [body])
            case other:
                raise ValueError(f"{type(other).__name__}: Embed or Rerank are possible")


class BareLlm:
    """The LLM engine alone: ids in, ids out, `clients` requests at a time."""

    def __init__(self, repository: Path = REPOSITORY) -> None:
        self._tokenizer = load_tokenizer(folder("llm", repository))
        self._engine = load_llm_engine(context("llm", repository), folder("llm", repository))

    def closed_loop(
        self, requests: Iterator[Generate], clients: int, window: Window
    ) -> list[Record]:
        """Like `tests.load.loops.closed_loop`, but on the engine's own thread: an event loop
        between would slow down what is the limit.
        """
        ready = ((self._tokenizer.encode(r.prompt).ids, r.tokens) for r in requests)
        prepared = itertools.cycle(list(itertools.islice(ready, 256)))
        records: list[Record] = []
        running, is_over = [clients], threading.Event()
        start_s = time.monotonic()

        def send() -> None:
            ids, tokens = next(prepared)
            sent_s, responses = time.monotonic(), list[Response]()

            def sink(delta: Delta) -> None:
                now_s = time.monotonic()
                if delta.token_ids:
                    responses.append(Response(now_s, len(delta.token_ids)))
                if delta.finish_reason:
                    outcome = Outcome.OK if delta.finish_reason == "length" else Outcome.ERROR
                    fault = "" if outcome is Outcome.OK else delta.finish_reason
                    records.append(Record(sent_s, sent_s, now_s, tuple(responses), outcome, fault))
                    after()

            params = GenerationParams(max_tokens=tokens, min_tokens=tokens, seed=0, stop_words=())
            self._engine.submit(ids, params, sink)

        def after() -> None:
            if not window.is_over(time.monotonic() - start_s, len(records), clients):
                send()
                return
            running[0] -= 1
            if running[0] == 0:
                is_over.set()

        for _ in range(clients):
            send()
        if not is_over.wait(window.most_s + 120):
            raise TimeoutError("the bare LLM engine did not end")
        return records

    def close(self) -> None:
        """End the engine's thread."""
        self._engine.close()


def _packed(rows: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Rows of like length together, as our encoders compute them."""
    lengths = rows["attention_mask"].sum(axis=1)
    for numbers, length in compute_batches(lengths):
        yield {name: np.ascontiguousarray(array[numbers, :length]) for name, array in rows.items()}


def _array(texts: Any) -> np.ndarray:
    return np.array([text.encode() for text in texts], dtype=np.object_)
