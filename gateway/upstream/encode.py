"""Answers `Embed` with `embed`, or for token ids with `embedder`, and `Rank` with `rerank`."""

import asyncio
import math
from array import array
from collections.abc import Awaitable, Iterator, Sequence

from ensembles.contracts import EMBEDDER, PAIR_TOKENIZER, TOKENIZER
from ensembles.embed import EMBED
from ensembles.rerank import RERANK
from gateway.call import MODEL_VERSION, Call, Embed, Embedded, Rank, Ranked, Usage
from gateway.errors import BadRequest
from gateway.upstream.connection import Connection
from gateway.upstream.infer import Outputs, Tensor, texts

ROWS = 1024
"""Most rows that our models take in one request."""

PADDED_TOKENS = 2**19
"""Most tokens of one request, counting every row as long as the longest."""

TOKEN = b"\x01"
"""The first byte of each 1 in a mask of little-endian INT64; its other bytes are 0."""


async def embed(triton: Connection, call: Call, request: Embed) -> Embedded:
    """The rows in the request's order; if there are too many for one request, several are sent."""
    rows: list[bytes] = []
    tokens = 0
    lengths = [len(row) for row in request.token_ids] or [1] * len(request.texts)
    for portion in portions(lengths):
        if request.token_ids:
            found, used = await _embed_ids(triton, call, request.token_ids[portion])
        else:
            found, used = await _embed_texts(triton, call, request, request.texts[portion])
        rows += found
        tokens += used
        call.usage = Usage(tokens)
    return Embedded(tuple(_cut(row, request.dimensions) for row in rows), Usage(tokens))


def portions(lengths: Sequence[int]) -> Iterator[slice]:
    """Slices of rows, each for one request: rows are padded to the longest of their slice."""
    start = longest = 0
    for index, length in enumerate(lengths):
        count, longest = index - start + 1, max(longest, length)
        if count > ROWS or (count > 1 and count * longest > PADDED_TOKENS):
            yield slice(start, index)
            start, longest = index, length
    if lengths:
        yield slice(start, len(lengths))


async def _embed_texts(
    triton: Connection, call: Call, request: Embed, portion: Sequence[str]
) -> tuple[list[bytes], int]:
    inputs = [texts("input_text", *portion), texts("input_type", request.input_type)]
    inputs.append(texts("truncate", request.truncate))
    found, counted = await both(
        triton.infer(call, EMBED.contract.name, inputs, ["embedding"]),
        triton.infer(call, TOKENIZER.name, inputs, ["attention_mask"]),
    )
    call.headers[MODEL_VERSION] = found.version
    return _rows(found), counted.data["attention_mask"].count(TOKEN)


async def _embed_ids(
    triton: Connection, call: Call, portion: Sequence[Sequence[int]]
) -> tuple[list[bytes], int]:
    longest = max(map(len, portion))
    if not all(portion):
        raise BadRequest("input_ids: a row without tokens; at least one is needed", field="input")
    if longest > PADDED_TOKENS:
        most = f"at most {PADDED_TOKENS} are possible"
        raise BadRequest(f"input_ids: a row of {longest} tokens given; {most}", field="input")
    ids = [id_ for row in portion for id_ in (*row, *[0] * (longest - len(row)))]
    mask = [n for row in portion for n in (*[1] * len(row), *[0] * (longest - len(row)))]
    shape = [len(portion), longest]
    inputs = [
        Tensor("input_ids", "INT64", shape, ids),
        Tensor("attention_mask", "INT64", shape, mask),
    ]
    found = await triton.infer(call, EMBEDDER.name, inputs, ["embedding"])
    call.headers[MODEL_VERSION] = found.version
    return _rows(found), sum(map(len, portion))


async def rank(triton: Connection, call: Call, request: Rank) -> Ranked:
    """One logit for each passage, in the request's order."""
    logits: list[float] = []
    tokens = 0
    for start in range(0, len(request.passages), ROWS):
        passages = texts("passages", *request.passages[start : start + ROWS])
        inputs = [texts("query", request.query), passages, texts("truncate", request.truncate)]
        found, counted = await both(
            triton.infer(call, RERANK.contract.name, inputs, ["relevance"]),
            triton.infer(call, PAIR_TOKENIZER.name, inputs, ["attention_mask"]),
        )
        call.headers[MODEL_VERSION] = found.version
        logits += array("f", found.data["relevance"])
        tokens += counted.data["attention_mask"].count(TOKEN)
        call.usage = Usage(tokens)
    return Ranked(tuple(logits), Usage(tokens))


async def both(first: Awaitable[Outputs], second: Awaitable[Outputs]) -> tuple[Outputs, Outputs]:
    """Both results; raises the error of the first that fails, and cancels the other."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_result(each)) for each in (first, second)]
    except* Exception as errors:
        raise errors.exceptions[0] from None
    return tasks[0].result(), tasks[1].result()


async def _result(awaited: Awaitable[Outputs]) -> Outputs:
    return await awaited


def _rows(found: Outputs) -> list[bytes]:
    data = found.data["embedding"]
    size = 4 * found.shapes["embedding"][1]
    return [data[start : start + size] for start in range(0, len(data), size)]


def _cut(row: bytes, dimensions: int | None) -> bytes:
    """A row's first dimensions, scaled to length 1; models that were trained for it lose little."""
    if dimensions is None or 4 * dimensions == len(row):
        return row
    if 4 * dimensions > len(row):
        raise BadRequest.at("dimensions", f"{dimensions} given; this model has {len(row) // 4}")
    values = array("f", row[: 4 * dimensions])
    length = math.sqrt(math.fsum(value * value for value in values)) or 1.0
    return array("f", (value / length for value in values)).tobytes()
