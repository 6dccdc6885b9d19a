"""Requests that nobody would write, made from the gateway's own OpenAPI document.

`FUZZ_EXAMPLES=500 .venv/bin/python -m pytest tests/server/test_gateway_fuzz.py` looks longer.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode

from gateway.app import new_app
from gateway.settings import Settings
from tests.fakes.api_errors import is_worded
from tests.server.conftest import BOUND_S, Server, eventually
from tests.server.gateway import Gateway, running_gateway

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "6"))
"""Requests for each route and mode."""
SETTINGS = hypothesis.settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(HealthCheck),
)
MODELS = {"rank": "rerank", "embed": "embed"}
"""The model of a route whose path has the word; `llm` for the others."""
POSSIBLE = {200, 400, 404, 405, 413, 422}
Json = dict[str, Any]


def operations() -> list[APIOperation]:
    schema = schemathesis.openapi.from_dict(new_app(Settings()).openapi())
    return [result.ok() for result in schema.get_all_operations()]


def looks() -> Iterator[tuple[APIOperation, GenerationMode]]:
    """Each route with requests of its schema, and with others where it has a body."""
    for operation in operations():
        yield operation, GenerationMode.POSITIVE
        if operation.body:
            yield operation, GenerationMode.NEGATIVE


LOOKS = list(looks())


@dataclass(frozen=True)
class Kept:
    """A gateway that keeps files, with a vector store and a file in it."""

    gateway: Gateway
    ids: dict[str, str]
    """Ids of what is there, by the names that routes have for it."""


@pytest.fixture(scope="module")
def kept(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    folder = tmp_path_factory.mktemp("fuzz")
    with running_gateway(server.ports, folder, f'[files]\nfolder = "{folder / "kept"}"\n') as found:
        store = found.post("/v1/vector_stores", {}).json()["id"]
        form: Json = {"data": {"purpose": "assistants"}, "files": {"file": ("a.md", b"Vebra.")}}
        file = found.client.post("/v1/files", **form).json()["id"]
        path = f"/v1/vector_stores/{store}"
        batch = found.post(f"{path}/file_batches", {"file_ids": [file]}).json()["id"]
        done = f"{path}/files/{file}"
        assert eventually(lambda: found.client.get(done).json()["status"] == "completed")
        yield Kept(found, {"store_id": store, "file_id": file, "batch_id": batch})


@pytest.fixture(scope="module")
def gateway(kept: Kept) -> Gateway:
    return kept.gateway


@pytest.mark.parametrize(
    ("operation", "mode"), LOOKS, ids=[f"{found.label} {mode.value}" for found, mode in LOOKS]
)
def test_no_request_breaks_a_route(
    kept: Kept, operation: APIOperation, mode: GenerationMode
) -> None:
    @SETTINGS
    @hypothesis.given(case=operation.as_strategy(mode))
    def look(case: Case) -> None:
        if mode is GenerationMode.POSITIVE:
            _name_a_model(case)
            _name_what_is_there(case, kept)
        _look_at(operation.path, case.call(base_url=kept.gateway.url, timeout=BOUND_S))

    look()


def _look_at(path: str, answer: Any) -> None:
    assert answer.status_code in POSSIBLE, answer.text
    if answer.status_code != 200:
        assert is_worded(path, answer.json()), answer.text


def _name_what_is_there(case: Case, kept: Kept) -> None:
    """Half of the ids, from which nothing is deleted."""
    if case.method != "DELETE":
        for name, found in list((case.path_parameters or {}).items()):
            if name in kept.ids and len(str(found)) % 2:
                case.path_parameters[name] = kept.ids[name]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
QUERIES = st.lists(
    st.tuples(
        st.sampled_from(["limit", "after", "before", "order", "filter", "purpose", "version"]),
        st.sampled_from(["", "1", "0", "-1", "1e9", "asc", "desc", "completed", "None"]) | TEXTS,
    ),
    max_size=4,
)
LISTED = [found.path for found in operations() if found.method == "get"]


@pytest.mark.parametrize("path", LISTED)
def test_no_query_breaks_a_route(kept: Kept, path: str) -> None:
    ids = {"name": "llm", "model": "llm", "version": "1", "what": "config", "probe": "ready"}
    where = kept.gateway.url + path.format(**ids, **kept.ids)

    @SETTINGS
    @hypothesis.given(query=QUERIES)
    def look(query: list[tuple[str, str]]) -> None:
        _look_at(path, requests.get(where, params=query, timeout=BOUND_S))

    look()


def test_no_upload_breaks_a_route(kept: Kept) -> None:
    names = TEXTS | st.sampled_from(["a.pdf", "a.docx", "a.xlsx", "a.html", "../a.md", "a.eml"])
    purposes = st.sampled_from(["assistants", "user_data", "batch", ""]) | TEXTS
    forms = st.dictionaries(st.sampled_from(["purpose", "expires_after"]) | TEXTS, purposes)

    @SETTINGS
    @hypothesis.given(name=names, content=st.binary(), form=forms, purpose=purposes)
    def look(name: str, content: bytes, form: dict[str, str], purpose: str) -> None:
        given = form | {"purpose": purpose}
        uploads = {"file": (name, content)}
        url = f"{kept.gateway.url}/v1/files"
        _look_at("/v1/files", requests.post(url, data=given, files=uploads, timeout=BOUND_S))

    look()


def _name_a_model(case: Case) -> None:
    """A known model, so that more than the unknown one is looked at."""
    if isinstance(case.body, dict) and "model" in case.body:
        models = [model for word, model in MODELS.items() if word in case.path]
        case.body["model"] = models[0] if models else "llm"


def test_a_gateway_after_all_that_answers_as_before(gateway: Gateway) -> None:
    body = {"model": "llm", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}
    texts = {
        requests.post(f"{gateway.url}/v1/chat/completions", json=body, timeout=BOUND_S)
        .text.partition('"choices"')[2]
        .partition('"usage"')[0]
        for _ in range(2)
    }
    assert len(texts) == 1
    assert "Traceback" not in gateway.log.read_text(encoding="utf-8")
