"""`embedder` and `reranker`: rows of ids through an encoder engine, short rows at short cost.

Triton's dynamic batcher hands over requests of any shapes (ragged batching). Their rows are sorted
by length and packed into compute batches of like length, so a short text never pays
for a long neighbour, whether it came in the same request or not.
"""

from collections.abc import Sequence

import numpy as np

from ensembles.contracts import EMBEDDER, RERANKER
from python_backends.batches import compute_batches
from python_backends.engines import EncoderEngine, load_encoder_engine
from python_backends.stage import Array, Outputs, RequestError, Stage, StageContext, Tensors


class EncoderStage(Stage):
    """Serves its contract over any `EncoderEngine`."""

    def __init__(self, context: StageContext) -> None:
        self._inputs = [spec.name for spec in self.contract.inputs]
        self._output = self.contract.outputs[0].name
        folder = context.engine_folder()
        self._max_tokens = folder.manifest.max_tokens
        self._engine: EncoderEngine = load_encoder_engine(context, folder)

    def run(self, batch: Sequence[Tensors]) -> list[Outputs | RequestError]:
        """All rows of all requests together, then each request's own rows."""
        faults = [self._fault(request) for request in batch]
        good = [request for request, fault in zip(batch, faults, strict=True) if fault is None]
        results = iter(self._encode(good) if good else ())
        return [fault or {self._output: next(results)} for fault in faults]

    def answer(self, request: Tensors) -> Outputs:
        """One request alone."""
        return {self._output: self._encode([request])[0]}

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
        lengths = np.concatenate([_lengths(request) for request in batch])
        rows = {name: [row for r in batch for row in r.array(name)] for name in self._inputs}
        results: list[Array] = [np.empty(0)] * len(lengths)
        for numbers, padded_to in compute_batches(lengths):
            length = min(padded_to, self._max_tokens)  # the model may end before the next step
            padded = {name: _stack(rows[name], numbers, length) for name in self._inputs}
            for number, result in zip(numbers, self._engine.encode(padded), strict=True):
                results[number] = result
        starts = np.cumsum([len(request.array("input_ids")) for request in batch])[:-1]
        return np.split(np.stack(results), starts)


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


def _stack(rows: Sequence[Array], numbers: Array, length: int) -> Array:
    """INT64 [rows, length]: the numbered rows, cut or padded with zeros on the right."""
    out = np.zeros((len(numbers), length), dtype=np.int64)
    for target, number in zip(out, numbers, strict=True):
        row = rows[number][:length]
        target[: len(row)] = row
    return out
