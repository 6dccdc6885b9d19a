"""Keys: who gets in, and that nothing of a secret is stored."""

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.access.authentication import Authenticator
from gateway.access.key_store import FileKeyStore, KeyStoreError, read_keys
from gateway.access.keys import Key, hash_secret, new_key_id, new_secret, split_token, token
from gateway.call import ANYBODY, Caller
from gateway.errors import Forbidden, GatewayError, Unauthenticated

NOW = datetime.now(UTC)
SECOND = timedelta(seconds=1)


def new_key(**changes: Any) -> tuple[Key, str]:
    """A key and its token."""
    secret, stored = new_secret()
    key_id = new_key_id()
    fields: dict[str, Any] = {"id": key_id, "tenant": "acme", "secrets": (stored,), "created": NOW}
    return Key(**fields | changes), token(key_id, secret)


def store_with(folder: Path, *keys: Key) -> FileKeyStore:
    store = FileKeyStore(folder / "keys.json")
    for key in keys:
        asyncio.run(store.add(key))
    return store


def caller(store: FileKeyStore, headers: Mapping[str, str], path: str = "/v1/models") -> Caller:
    return asyncio.run(Authenticator(store).caller(headers, path))


def bearer(sent: str) -> dict[str, str]:
    return {"authorization": f"Bearer {sent}"}


def test_a_token_comes_in_the_headers_of_all_apis(tmp_path: Path) -> None:
    key, sent = new_key()
    store = store_with(tmp_path, key)
    lower = {"authorization": f"bearer {sent}"}
    for headers in (bearer(sent), lower, {"x-api-key": sent}, {"api-key": sent}):
        assert caller(store, headers) == Caller(key.id, "acme")


def test_without_a_store_everybody_may_ask() -> None:
    assert asyncio.run(Authenticator(None).caller({}, "/v1/models")) == ANYBODY


@pytest.mark.parametrize(
    "sent", ["", "sk-", "sk-abc", "nonsense", "sk--x", "sk-aaaaaaaaaaaa-secret"]
)
def test_what_is_no_key_is_refused_without_an_echo(tmp_path: Path, sent: str) -> None:
    key, _ = new_key()
    with pytest.raises(Unauthenticated) as refusal:
        caller(store_with(tmp_path, key), bearer(sent))
    assert not sent or sent not in str(refusal.value)


@pytest.mark.parametrize(
    ("host", "is_let_in"),
    [
        ("127.0.0.1:8080", True),
        ("localhost", True),
        ("[::1]:8080", True),
        ("gateway.internal:80", True),
        ("attacker.example:8080", False),
        ("127.0.0.1.attacker.example", False),
        ("localhost.attacker.example", False),
        ("10.0.0.1", False),
        ("", False),
        ("[", False),
    ],
)
def test_without_keys_no_web_page_asks_under_its_own_name(host: str, is_let_in: bool) -> None:
    asked = Authenticator(None, ["gateway.internal"]).caller({"host": host}, "/v1/models")
    if is_let_in:
        assert asyncio.run(asked) == ANYBODY
    else:
        with pytest.raises(Forbidden, match="only this machine may ask"):
            asyncio.run(asked)


def test_a_wrong_secret_of_a_key_that_exists_is_refused(tmp_path: Path) -> None:
    key, sent = new_key()
    wrong = sent[:-1] + ("A" if sent[-1] != "A" else "B")
    with pytest.raises(Unauthenticated):
        caller(store_with(tmp_path, key), bearer(wrong))


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"disabled": True}, Unauthenticated, "disabled"),
        ({"expires": NOW - SECOND}, Unauthenticated, "expired at"),
        ({"routes": ("/v1/chat/*", "/v1/rerank")}, Forbidden, "/v1/chat/*, /v1/rerank"),
    ],
)
def test_a_refused_key_hears_why(
    tmp_path: Path, changes: dict[str, Any], error: type[GatewayError], says: str
) -> None:
    key, sent = new_key(**changes)
    with pytest.raises(error) as refusal:
        caller(store_with(tmp_path, key), bearer(sent))
    assert says in str(refusal.value)


def test_a_key_disabled_in_the_file_is_refused_from_the_next_request_on(tmp_path: Path) -> None:
    key, sent = new_key()
    store = store_with(tmp_path, key)
    assert caller(store, bearer(sent)).key_id == key.id
    other_process = FileKeyStore(store.path)
    asyncio.run(other_process.change(key.id, lambda old: old.model_copy(update={"disabled": True})))
    with pytest.raises(Unauthenticated):
        caller(store, bearer(sent))


def test_while_a_key_is_rotated_both_secrets_count(tmp_path: Path) -> None:
    key, old = new_key()
    secret, stored = new_secret()
    ending = key.secrets[0].model_copy(update={"expires": NOW + timedelta(hours=1)})
    rotated = key.model_copy(update={"secrets": (stored, ending)})
    new = token(key.id, secret)
    store = store_with(tmp_path, rotated)
    assert caller(store, bearer(old)) == caller(store, bearer(new))
    ended = key.secrets[0].model_copy(update={"expires": NOW - SECOND})
    after = store_with(tmp_path / "after", key.model_copy(update={"secrets": (stored, ended)}))
    assert caller(after, bearer(new)).key_id == key.id
    with pytest.raises(Unauthenticated):
        caller(after, bearer(old))


def test_the_file_holds_no_secret_and_is_for_its_owner_only(tmp_path: Path) -> None:
    key, sent = new_key()
    path = store_with(tmp_path, key).path
    _, secret = split_token(sent)
    assert secret not in path.read_text(encoding="utf-8")
    assert hash_secret(secret) in path.read_text(encoding="utf-8")
    assert path.stat().st_mode & 0o077 == 0


def test_a_broken_file_is_refused_at_the_start_by_field(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text('{"keys": [{"id": "abcdefgh", "tenant": "a", "secret": "x"}]}', "utf-8")
    with pytest.raises(KeyStoreError, match=r"keys\.json: keys\.0\."):
        FileKeyStore(path)


def test_a_file_that_can_not_be_opened_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="directory"):
        FileKeyStore(tmp_path)


def test_a_file_that_breaks_later_leaves_the_last_keys(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key, sent = new_key()
    store = store_with(tmp_path, key)
    assert caller(store, bearer(sent))
    store.path.write_text("{", "utf-8")
    assert caller(store, bearer(sent)).key_id == key.id
    assert "the last keys stay" in caplog.text
    os.unlink(store.path)  # noqa: PTH108
    assert caller(store, bearer(sent)).key_id == key.id


def test_two_keys_of_one_id_are_a_fault(tmp_path: Path) -> None:
    key, _ = new_key()
    path = store_with(tmp_path, key, key).path
    with pytest.raises(KeyStoreError, match=key.id):
        read_keys(path)


@pytest.mark.parametrize(
    ("routes", "path", "is_allowed"),
    [
        (("*",), "/v1/embeddings", True),
        (("*",), "/v2/rerank", True),  # Cohere's
        (("*",), "/v2/models/embed/infer", False),
        (("*",), "/v2", False),
        (("*",), "/v2/repository/index", False),
        (("*", "/v2*"), "/v2/models/embed/infer", True),
        (("*", "/v2*"), "/v2/models/llm/generate_stream", False),
        (("*", "/v2*"), "/v2/models/llm/versions/1/generate", False),
        (("*", "/v2*"), "/v2/repository/index", True),
        (("*",), "/metrics", False),
        (("*", "/metrics"), "/metrics", True),
    ],
)
def test_tritons_own_routes_must_be_named_and_keep_the_models(
    routes: tuple[str, ...], path: str, is_allowed: bool
) -> None:
    key, _ = new_key(routes=routes, models=("embed", "rerank"))
    assert key.allows_route(path) == is_allowed


def test_models_are_allowed_by_pattern() -> None:
    key, _ = new_key(models=("rag*", "embed"))
    assert [key.allows_model(name) for name in ("rag", "rag_cancellable", "embed", "llm")] == [
        True,
        True,
        True,
        False,
    ]
