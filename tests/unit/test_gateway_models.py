"""The catalogue reads Triton's index once for all, and requests don't wait for the next time."""

import asyncio
from typing import Any

import pytest

from ensembles.metrics import CONTEXT
from gateway.call import ANYBODY, Call, Embed, Generate
from gateway.errors import BadRequest, NotFound, Unavailable
from gateway.upstream import models
from gateway.upstream.generate import _body
from gateway.upstream.models import Catalogue

READY = [{"name": name, "state": "READY"} for name in ("llm", "embed", "rerank")]


class Index:
    """Triton's index; `gate` holds answers back."""

    def __init__(self, *answers: Any, page: bytes = b"") -> None:
        self.answers, self.asked, self.page = list(answers), 0, page
        self.gate = asyncio.Event()
        self.gate.set()

    async def json(self, _method: str, _path: str) -> Any:
        self.asked += 1
        await self.gate.wait()
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, Exception):
            raise found
        return found

    async def metrics_page(self) -> bytes:
        self.asked += 1
        return self.page


def test_many_requests_read_the_index_once():
    async def run() -> None:
        index = Index(READY)
        catalogue = Catalogue(index, {"mine": "llm"})  # type: ignore[arg-type]
        found = await asyncio.gather(*(catalogue.resolve("mine", Generate) for _ in range(50)))
        assert (set(found), index.asked) == ({"llm"}, 1)

    asyncio.run(run())


def test_a_request_does_not_wait_for_a_newer_index_and_probes_do(monkeypatch):
    async def run() -> None:
        gone = [{"name": "llm", "state": "UNAVAILABLE", "reason": "unloaded"}]
        index = Index(READY, gone)
        catalogue = Catalogue(index, {})  # type: ignore[arg-type]
        await catalogue.models()
        monkeypatch.setattr(models, "INDEX_AGE_S", 0.0)
        index.gate.clear()
        assert await catalogue.resolve("llm", Generate) == "llm"
        index.gate.set()
        assert [model.problem for model in await catalogue.models()] == ["unloaded"]
        with pytest.raises(Unavailable, match="'llm' is unloaded"):
            await catalogue.resolve("llm", Generate)

    asyncio.run(run())


def test_a_failed_reading_is_every_waiters_and_the_next_one_tries_again():
    async def run() -> None:
        index = Index(Unavailable("starting"), READY)
        catalogue = Catalogue(index, {})  # type: ignore[arg-type]
        tries = (catalogue.resolve("llm", Generate) for _ in range(3))
        found = await asyncio.gather(*tries, return_exceptions=True)
        assert {type(each) for each in found} == {Unavailable}
        assert await catalogue.resolve("llm", Generate) == "llm"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "kind", "error", "said"),
    [
        ("gpt-4", Generate, NotFound, "possible: llm"),
        ("rag", Generate, NotFound, "possible: llm"),
        ("llm", Embed, BadRequest, "possible: embed"),
    ],
)
def test_what_is_not_here_is_refused_with_what_is(name, kind, error, said):
    catalogue = Catalogue(Index(READY), {})  # type: ignore[arg-type]
    with pytest.raises(error, match=said):
        asyncio.run(catalogue.resolve(name, kind))


def test_other_llms_of_the_server_are_asked_by_their_own_names():
    ready = [*READY, {"name": "llm-small", "state": "READY"}]
    catalogue = Catalogue(Index(ready), {}, ["llm-small"])  # type: ignore[arg-type]
    assert asyncio.run(catalogue.resolve("llm-small", Generate)) == "llm-small"
    call = Call(Generate("llm-small", prompt="hello"), ANYBODY, "request-1")
    assert _body(call, call.request)["text_input"] == "hello"


@pytest.mark.parametrize(
    ("lines", "tokens"),
    [
        ([], 0),
        (['{model="llm",version="1"} 4096'], 4096),
        (['{model="llm",version="1"} 8192', '{model="llm",version="2"} 4096'], 4096),
        (['{model="other",version="1"} 4096'], 0),
    ],
)
def test_the_context_is_what_triton_s_metrics_say(lines, tokens):
    page = "".join(f"{CONTEXT.name}{line}\n" for line in lines).encode()
    catalogue = Catalogue(Index(READY, page=page), {})  # type: ignore[arg-type]
    assert asyncio.run(catalogue.context_tokens()) == tokens


def test_a_page_is_read_once_for_many_lists_and_again_while_it_says_nothing():
    async def run() -> None:
        index = Index(READY)
        catalogue = Catalogue(index, {})  # type: ignore[arg-type]
        assert await catalogue.context_tokens() == 0
        index.page = f'{CONTEXT.name}{{model="llm",version="1"}} 4096\n'.encode()
        assert [await catalogue.context_tokens() for _ in range(5)] == [4096] * 5
        assert index.asked == 2

    asyncio.run(run())
