"""`embedder` and `reranker`: rows of token ids through an encoder engine.

Triton's dynamic batcher hands over requests of different shapes together (ragged batching). The
rows of all of them are packed into compute batches of similar length, so a short text is not padded
to a long one of another request, or of its own.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from hashlib import blake2b

import numpy as np

from ensembles.contracts import EMBEDDER, READER, RERANKER
from ensembles.metrics import BATCH_ROWS, LARGE_REQUESTS, ROWS
from python_backends.context import StageContext
from python_backends.engines.encoder_engine import EncoderEngine, Packing, compute_batches, slices
from python_backends.engines.load import load_encoder_engine
from python_backends.errors import RequestError
from python_backends.stage import Answer, Stage
from python_backends.stages.large_requests import FairLock, LargeRequests, Work
from python_backends.tensors import Array, Outputs, Tensors
from python_backends.tokenization import vocabulary_size

MIN_CACHED_TOKENS = 3
"""Rows of fewer tokens hold no text besides the two special tokens and are not cached. So the
supervisor's canary, one token long, always reaches the engine."""

LARGE_SLICES = 4
"""A request with more tokens than this many slices is computed slice by slice, so that smaller
requests need not wait for all of it (docs/decisions/0104). A search's sentences are half a slice to
two slices, so they are small."""

Compute = Callable[[list[int]], Sequence[Array]]
"""A function from numbers of rows to the results of these rows, in order."""


class RowCache:
    """A least-recently-used cache of at most `capacity` computed rows. Not thread-safe.

    Users ask many questions about the same documents and send the documents each time. Triton's own
    response cache does not help: it stores whole requests, and errors too, which it then returns as
    empty successes (docs/decisions/0016).
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._rows: OrderedDict[bytes | int, Array] = OrderedDict()

    def results(self, keys: Sequence[bytes], compute: Compute) -> list[Array]:
        """One result per key; `compute` gets the numbers of rows with unknown keys, one per key.

        A row with an empty key is always computed and never stored.
        """
        names = [key or number for number, key in enumerate(keys)]
        missing = {name: n for n, name in enumerate(names) if name not in self._rows}
        computed = compute(list(missing.values())) if missing else ()
        new = dict(zip(missing, computed, strict=True))
        found = [new[name] if name in new else self._get(name) for name in names]
        for name, result in new.items():
            self._put(name, result)
        return found

    def _get(self, name: bytes | int) -> Array:
        self._rows.move_to_end(name)
        return self._rows[name]

    def _put(self, name: bytes | int, result: Array) -> None:
        # NaN and infinity come from a faulty engine: the next request may get a right result.
        if not self._capacity or isinstance(name, int) or not np.isfinite(result).all():
            return
        # A copy, because the row is a view and would keep the whole batch's memory.
        self._rows[name] = np.array(result)
        if len(self._rows) > self._capacity:
            self._rows.popitem(last=False)


class EncoderStage(Stage):
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
        self._engine_lock = FairLock()
        self._large = LargeRequests(self._engine_lock, context.meter.gauge(LARGE_REQUESTS))

    def run(self, batch: Sequence[Tensors]) -> list[Answer]:
        """Compute the rows of all small requests together; a thread computes the large ones.

        If the engine fails on the small ones, each is computed alone, so that a request that breaks
        the engine does not fail the others.
        """
        begun = [self._error(request) or self._begin_large(request) for request in batch]
        small = [request for request, one in zip(batch, begun, strict=True) if one is None]
        answers = iter(self._answer_small(small) if small else ())
        return [one or next(answers) for one in begun]

    def answer(self, request: Tensors) -> Outputs:
        outputs = self._outputs(self._encode([request])[0])
        if isinstance(outputs, Exception):
            raise outputs
        return outputs

    def close(self) -> None:
        self._large.close()

    def _answer_small(self, batch: Sequence[Tensors]) -> list[Outputs | Exception]:
        with self._engine_lock:
            try:
                return [self._outputs(rows) for rows in self._encode(batch)]
            except Exception:
                return [self._answer_or_error(request) for request in batch]

    def _begin_large(self, request: Tensors) -> Future[Outputs | Exception] | None:
        if _lengths(request).sum() <= LARGE_SLICES * self._packing.slice_ids:
            return None
        # Copies, because Triton lends the arrays.
        own = {name: request.array(name).copy() for name in self._inputs}
        return self._large.submit(self._in_slices(Tensors(own)))

    def _in_slices(self, request: Tensors) -> Work:
        rows = {name: list(request.array(name)) for name in self._inputs}
        lengths = _lengths(request)
        results: dict[int, Array] = {}
        for numbers in slices(lengths, self._packing):
            results.update(zip(numbers, self._results(rows, lengths, numbers), strict=True))
            yield
        return self._outputs(np.stack([results[number] for number in range(len(lengths))]))

    def _outputs(self, rows: Array) -> Outputs | Exception:
        """The response, or an error for NaN or infinity, which would be ranked like numbers."""
        if np.isfinite(rows).all():
            return {self._output: rows}
        return RuntimeError(f"the engine gave NaN or infinity in {rows.shape[0]} rows or fewer")

    def _error(self, request: Tensors) -> RequestError | None:
        """The fault of a request, if any: Triton checks neither number nor length of its rows."""
        rows, tokens = request.array(self._inputs[0]).shape
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
        results = self._results(rows, lengths, range(len(lengths)))
        starts = np.cumsum([len(request.array("input_ids")) for request in batch])[:-1]
        return np.split(np.stack(results), starts)

    def _results(
        self, rows: Mapping[str, Sequence[Array]], lengths: Array, numbers: Sequence[int]
    ) -> list[Array]:
        """The results of the numbered rows, in order."""
        computed: list[int] = []

        def compute(chosen: list[int]) -> list[Array]:
            computed.extend(chosen)
            return self._compute(rows, lengths, [numbers[place] for place in chosen])

        keys = [self._key(rows, number, lengths[number]) for number in numbers]
        results = self._cache.results(keys, compute)
        self._computed_rows.increment(len(computed))
        self._cached_rows.increment(len(keys) - len(computed))
        return results

    def _key(self, rows: Mapping[str, Sequence[Array]], number: int, length: int) -> bytes:
        """Cache key of a row: a digest of the ids and masks that its result depends on.

        The ids and masks themselves would take more memory than the result.
        """
        if length < MIN_CACHED_TOKENS:
            return b""
        whole = b"".join(rows[name][number][:length].tobytes() for name in self._inputs)
        return blake2b(whole, digest_size=16).digest()

    def _compute(
        self, rows: Mapping[str, Sequence[Array]], lengths: Array, chosen: list[int]
    ) -> list[Array]:
        numbers_of: list[list[int]] = []
        batches: list[dict[str, Array]] = []
        for places, padded_to in compute_batches(lengths[chosen], self._packing):
            numbers = [chosen[place] for place in places]
            self._batch_rows.observe(len(numbers))
            length = min(padded_to, self._max_tokens)  # which may be no multiple of the length step
            numbers_of.append(numbers)
            batches.append({name: _stack(rows[name], numbers, length) for name in self._inputs})
        results: dict[int, Array] = {}
        for numbers, encoded in zip(numbers_of, self._engine.encode(batches), strict=True):
            results.update(zip(numbers, encoded, strict=True))
        return [results[number] for number in chosen]


class EmbedderStage(EncoderStage):
    """`embedder`: one embedding per row, as long as the checkpoint or `dimensions` makes it.

    Token ids are checked: clients may send their own, and engines accept any number as an id.
    """

    contract = EMBEDDER

    def __init__(self, context: StageContext) -> None:
        super().__init__(context)
        folder = context.engine_folder()
        self._vocabulary = vocabulary_size(folder)
        self._dimensions = folder.manifest.dimensions

    def _compute(
        self, rows: Mapping[str, Sequence[Array]], lengths: Array, chosen: list[int]
    ) -> list[Array]:
        found = super()._compute(rows, lengths, chosen)
        return [_cut(row, self._dimensions) for row in found] if self._dimensions else found

    def _error(self, request: Tensors) -> RequestError | None:
        if error := super()._error(request):
            return error
        ids = request.array("input_ids")
        for found in (int(ids.min()), int(ids.max())):
            if not 0 <= found < self._vocabulary:
                return RequestError(
                    f"input_ids: token {found} given; from 0 to {self._vocabulary - 1} are possible"
                )
        return None


class RerankerStage(EncoderStage):
    """`reranker`: one logit per row."""

    contract = RERANKER


class ReaderStage(EncoderStage):
    """`reader`: one logit per row."""

    contract = READER


def _cut(row: Array, dimensions: int) -> Array:
    """The first `dimensions` values of an embedding, scaled to length 1 (Matryoshka)."""
    kept = row[:dimensions]
    scaled: Array = kept / max(float(np.linalg.norm(kept)), float(np.finfo(np.float32).tiny))
    return scaled


def _lengths(request: Tensors) -> Array:
    """Length of each row up to the last 1 of its mask; at least 1."""
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
