"""Answers `Rank` with the model `rerank`."""

from array import array

from ensembles.contracts import PAIR_TOKENIZER
from ensembles.rerank import RERANK
from gateway.call import MODEL_VERSION, Call, Rank, Ranked, Usage
from gateway.upstream.connection import Connection
from gateway.upstream.embed import ROWS, TOKEN, both
from gateway.upstream.infer import texts


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
