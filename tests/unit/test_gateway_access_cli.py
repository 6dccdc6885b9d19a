"""`keys` and `usage`, as they are typed."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.access.authentication import Authenticator
from gateway.access.cli import keys, show_usage
from gateway.access.key_store import FileKeyStore
from gateway.access.ledger import Amounts, Ledger
from gateway.call import Caller
from gateway.errors import Unauthenticated


def run(path: Path | str, *words: str) -> Result:
    return CliRunner().invoke(keys, list(words), env={"GATEWAY_ACCESS__KEYS": str(path)})


def caller(path: Path, token: str) -> Caller:
    headers = {"x-api-key": token}
    return asyncio.run(Authenticator(FileKeyStore(path)).caller(headers, "/v1/models"))


def test_a_key_lives_from_create_to_disable(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    made = run(path, "create", "--tenant", "acme", "--tokens-per-minute", "500", "--model", "rag*")
    token = made.stdout.strip()
    key_id = caller(path, token).key_id
    (listed,) = json.loads(run(path, "list", "--json").stdout)
    assert (listed["id"], listed["limits"]["tokens_per_minute"]) == (key_id, 500)
    assert "secrets" not in listed
    assert key_id in run(path, "list").stdout
    new = run(path, "rotate", key_id).stdout.strip()
    assert caller(path, new) == caller(path, token) == Caller(key_id, "acme")
    newest = run(path, "rotate", key_id, "--overlap", "0s").stdout.strip()
    assert caller(path, newest).key_id == key_id
    for old in (token, new):
        with pytest.raises(Unauthenticated):
            caller(path, old)
    assert run(path, "disable", key_id).exit_code == 0
    with pytest.raises(Unauthenticated, match="disabled"):
        caller(path, newest)
    assert "disabled" in run(path, "list").stdout


def test_what_cannot_be_done_says_what_can(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    assert "there are no keys" in run(path, "list").stderr
    run(path, "create", "--tenant", "acme")
    (listed,) = json.loads(run(path, "list", "--json").stdout)
    unknown = run(path, "disable", "nobody")
    assert unknown.exit_code == 1
    assert f"key nobody: unknown; there are {listed['id']}" in unknown.output
    assert "write 90s, 30m, 24h or 7d" in run(path, "rotate", "nobody", "--overlap", "soon").output
    nameless = run(path, "create", "--tenant", "")
    assert "--tenant: String should have at least 1 character" in nameless.output
    elsewhere = run("mysql://a:s3cret@b/c", "create", "--tenant", "acme")
    assert "a file, or postgresql://" in elsewhere.output
    assert "s3cret" not in elsewhere.output
    path.write_text("{}{", "utf-8")
    assert "keys.json" in run(path, "list").output


def test_usage_is_summed_as_table_and_json(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def book() -> None:
        ledger = Ledger(path)
        ledger.add(Caller("k1", "acme"), "llm", Amounts(2, 1, 3000, 100, 50, 7))
        ledger.add(Caller("k2", "acme"), "embed", Amounts(1, 0, 20, 0, 0, 0))
        await ledger.close()

    asyncio.run(book())
    words = ["--ledger", str(path)]
    shown = CliRunner().invoke(show_usage, words).stdout
    assert "3,020" in shown
    recent = CliRunner().invoke(show_usage, [*words, "--since", "1h", "--model", "llm", "--json"])
    assert json.loads(recent.stdout) == [
        {
            "tenant": "acme",
            "key": "k1",
            "model": "llm",
            "requests": 2,
            "rejected_requests": 1,
            "input_tokens": 3000,
            "cached_tokens": 100,
            "output_tokens": 50,
            "rejected_tokens": 7,
        }
    ]
    missing = CliRunner().invoke(show_usage, ["--ledger", str(tmp_path / "none.db")])
    assert "there is no such ledger" in missing.output
