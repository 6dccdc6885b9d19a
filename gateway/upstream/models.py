"""The models of a Triton, by the names that clients use."""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ensembles.contracts import LLM
from ensembles.embed import EMBED
from ensembles.metrics import CONTEXT
from ensembles.rag import RAG_CANCELLABLE
from ensembles.rerank import RERANK
from gateway.call import Embed, Generate, Rank, Request
from gateway.errors import BadRequest, NotFound, Unavailable
from gateway.upstream.connection import Connection
from gateway.upstream.statuses import RETRY_AFTER_S

UNKNOWN = "unknown"
"""Label for model names that clients make up."""
INDEX_AGE_S = 1.0
"""How long a repository index is used before it is read again."""
KNOWN_AGE_S = 10.0
"""How old an index may be that requests use while a newer one is read."""

_CONTEXT = re.compile(
    rb"^%s\{[^}]*model=\"%s\"[^}]*\} (\S+)$" % (CONTEXT.name.encode(), LLM.name.encode()), re.M
)


@dataclass(frozen=True)
class Entry:
    """A model as clients see it: its name in Triton, and what it takes."""

    model: str
    takes: type[Request]


ENTRIES: Mapping[str, Entry] = {
    "llm": Entry(LLM.name, Generate),
    "rag": Entry(RAG_CANCELLABLE.contract.name, Generate),  # `rag` itself can't be cancelled
    "embed": Entry(EMBED.contract.name, Embed),
    "rerank": Entry(RERANK.contract.name, Rank),
}


@dataclass(frozen=True)
class Model:
    """A name that a client can use; `problem` is empty when the model is ready."""

    name: str
    entry: Entry
    problem: str


class Catalogue:
    """The models of one Triton, looked up in its repository index."""

    def __init__(
        self, triton: Connection, aliases: Mapping[str, str], llms: Sequence[str] = ()
    ) -> None:
        """`llms` are other models of the Triton that have the tensors of `llm`."""
        self._triton = triton
        own = {**{name: Entry(name, Generate) for name in llms}, **ENTRIES}
        self._names = own | {name: ENTRIES[meant] for name, meant in aliases.items()}
        self._states: dict[str, str] = {}
        self._read_s = -KNOWN_AGE_S
        self._reading: asyncio.Task[None] | None = None
        self._context_tokens = 0
        self._context_read_s = -KNOWN_AGE_S
        self.started = int(time.time())

    def label(self, name: str) -> str:
        """The name, if it is empty, a client can use it, or it is a model of the server, ready or
        not; else `unknown`."""
        return name if not name or name in self._names or name in self._states else UNKNOWN

    async def models(self) -> list[Model]:
        """The models of the index, ready or not; raises what the connection raises."""
        if self._age_s >= INDEX_AGE_S:
            await asyncio.shield(self._begun())  # other calls wait for it too
        return self._models()

    async def context_tokens(self) -> int:
        """The context length of `llm`, in tokens; 0 if Triton's metrics do not report it."""
        now_s = time.monotonic()
        if not self._context_tokens or now_s - self._context_read_s >= KNOWN_AGE_S:
            found = _CONTEXT.findall(await self._triton.metrics_page())
            self._context_tokens = int(min(map(float, found), default=0))
            self._context_read_s = now_s
        return self._context_tokens

    def _models(self) -> list[Model]:
        return [
            Model(name, entry, self._states[entry.model])
            for name, entry in self._names.items()
            if entry.model in self._states
        ]

    async def resolve(self, name: str, takes: type[Request]) -> str:
        """The model's name in Triton; raises `NotFound`, `Unavailable`, and `BadRequest` for a
        model of another kind."""
        if self._age_s >= INDEX_AGE_S:
            reading = self._begun()
            if self._age_s >= KNOWN_AGE_S:
                await asyncio.shield(reading)
        models = self._models()
        fitting = [model.name for model in models if model.entry.takes is takes]
        for model in models:
            if model.name != name:
                continue
            if model.entry.takes is not takes:
                raise BadRequest(_sentence(name, "can't do this", fitting), field="model")
            if model.problem:
                raise Unavailable(f"model '{name}' is {model.problem}", retry_after_s=RETRY_AFTER_S)
            return model.entry.model
        raise NotFound(_sentence(name, "is not here", fitting), field="model")

    @property
    def _age_s(self) -> float:
        return time.monotonic() - self._read_s

    def _begun(self) -> "asyncio.Task[None]":
        """The task that reads the index, one for all calls that wait for it."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._reading

    async def _read(self) -> None:
        self._states = await self._index()
        self._read_s = time.monotonic()

    async def _index(self) -> dict[str, str]:
        """Every model with what is wrong with it, for its newest version that is ready."""
        found: dict[str, str] = {}
        for model in await self._triton.json("POST", "/v2/repository/index"):
            state = model.get("state", "UNAVAILABLE")
            problem = "" if state == "READY" else model.get("reason") or state.lower()
            found[model["name"]] = problem and found.get(model["name"], problem)
        return found


def _sentence(name: str, what: str, possible: list[str]) -> str:
    return f"model {name!r:.100} {what}; possible: {', '.join(possible) or 'none'}"
