"""`embedder` and `reranker`: rows of ids through an encoder engine, short rows at short cost.

Triton's dynamic batcher hands over requests of any shapes (ragged batching). Their rows are sorted
by length and packed into compute batches of like length, so a short text never pays
for a long neighbour, whether it came in the same request or not.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ensembles.contracts import EMBEDDER, RERANKER
from ensembles.metrics import BATCH_ROWS, ROWS
from python_backends.engines import EncoderEngine, load_encoder_engine
from python_backends.engines.batches import Packing, compute_batches
from python_backends.stage import Array, Outputs, RequestError, Stage, StageContext, Tensors
from python_backends.stages.row_cache import RowCache

KEPT_TOKENS = 3
"""Rows of fewer tokens are not kept: a text has two special ones around it. So the supervisor's
canary, one token long, always asks the engine and not the memory of it."""


class EncoderStage(Stage):
    """Serves its contract over any `EncoderEngine`."""

    def __init__(self, context: StageContext) -> None:
        self._inputs = [spec.name for spec in self.contract.inputs]
        self._output = self.contract.outputs[0].name
        folder = context.engine_folder()
        self._max_tokens = folder.manifest.max_tokens
        self._packing = Packing.read(context.parameters)
        self._cache = RowCache(context.integer("cached_rows"))
        self._batch_rows = context.meter.histogram(BATCH_ROWS)
        self._computed_rows = context.meter.counter(ROWS, source="computed")
        self._cached_rows = context.meter.counter(ROWS, source="cached")
        self._engine: EncoderEngine = load_encoder_engine(context, folder)

    def run(self, batch: Sequence[Tensors]) -> list[Outputs | Exception]:
        """All rows of all requests together, then each request's own rows.

        Where the engine fails on the whole, each request is tried alone, so that one that breaks
        it doesn't harm its neighbours.
        """
        faults = [self._fault(request) for request in batch]
        good = [request for request, fault in zip(batch, faults, strict=True) if fault is None]
        try:
            results = iter(self._encode(good) if good else ())
        except Exception:
            return [
                fault or self._answer_or_error(r) for r, fault in zip(batch, faults, strict=True)
            ]
        return [fault or self._finite(next(results)) for fault in faults]

    def answer(self, request: Tensors) -> Outputs:
        """One request alone."""
        found = self._finite(self._encode([request])[0])
        if isinstance(found, Exception):
            raise found
        return found

    def _finite(self, rows: Array) -> Outputs | Exception:
        """The answer; NaN would be ranked like a number, and nobody would know."""
        if np.isfinite(rows).all():
            return {self._output: rows}
        return RuntimeError(f"the engine gave NaN or infinity in {rows.shape[0]} rows or fewer")

    def _fault(self, request: Tensors) -> RequestError | None:
        """Shapes that Triton lets through, although the tensors belong together."""
        shapes = {name: list(request.array(name).shape) for name in self._inputs}
        rows, tokens = next(iter(shapes.values()))
        if len({tuple(shape) for shape in shapes.values()}) > 1:
            return RequestError(f"inputs differ in shape: {shapes}")
        if rows < 1:
            return RequestError("input_ids: no rows; at least one is needed")
        if not 1 <= tokens <= self._max_tokens:
            return RequestError(
                f"input_ids: rows of {tokens} tokens; from 1 to {self._max_tokens} are possible"
            )
        return None

    def _encode(self, batch: Sequence[Tensors]) -> list[Array]:
        rows = {name: [row for r in batch for row in r.array(name)] for name in self._inputs}
        lengths = np.concatenate([_lengths(request) for request in batch])
        keys = [self._key(rows, number, length) for number, length in enumerate(lengths)]
        computed: list[int] = []

        def compute(chosen: list[int]) -> list[Array]:
            computed.extend(chosen)
            return self._compute(rows, lengths, chosen)

        results = self._cache.results(keys, compute)
        self._computed_rows.increment(len(computed))
        self._cached_rows.increment(len(keys) - len(computed))
        starts = np.cumsum([len(request.array("input_ids")) for request in batch])[:-1]
        return np.split(np.stack(results), starts)

    def _key(self, rows: Mapping[str, Sequence[Array]], number: int, length: int) -> bytes:
        """Everything that the result of a row depends on."""
        if length < KEPT_TOKENS:
            return b""
        return b"".join(rows[name][number][:length].tobytes() for name in self._inputs)

    def _compute(
        self, rows: Mapping[str, Sequence[Array]], lengths: Array, chosen: list[int]
    ) -> list[Array]:
        """Results of the chosen rows."""
        packed: list[list[int]] = []
        batches: list[dict[str, Array]] = []
        for places, padded_to in compute_batches(lengths[chosen], self._packing):
            numbers = [chosen[place] for place in places]
            self._batch_rows.observe(len(numbers))
            length = min(padded_to, self._max_tokens)  # the model may end before the next step
            packed.append(numbers)
            batches.append({name: _stack(rows[name], numbers, length) for name in self._inputs})
        results: dict[int, Array] = {}
        for numbers, found in zip(packed, self._engine.encode(batches), strict=True):
            results.update(zip(numbers, found, strict=True))
        return [results[number] for number in chosen]


class EmbedderStage(EncoderStage):
    """`embedder`: one normalised FP32 vector a row."""

    contract = EMBEDDER


class RerankerStage(EncoderStage):
    """`reranker`: one logit a row."""

    contract = RERANKER


def _lengths(request: Tensors) -> Array:
    """Tokens of each row up to the last one that its mask shows; at least one."""
    mask = request.array("attention_mask") != 0
    ends = mask.shape[1] - np.argmax(mask[:, ::-1], axis=1)
    return np.where(mask.any(axis=1), ends, 1)


def _stack(rows: Sequence[Array], numbers: Sequence[int], length: int) -> Array:
    """INT64 [rows, length]: the numbered rows, cut or padded with zeros on the right."""
    out = np.zeros((len(numbers), length), dtype=np.int64)
    for target, number in zip(out, numbers, strict=True):
        row = rows[number][:length]
        target[: len(row)] = row
    return out
