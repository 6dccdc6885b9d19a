"""The gateway's settings: the file, the environment over it, and what is refused."""

import pytest

from gateway.cli import main
from gateway.server import check, serve
from gateway.settings import Listen, Settings, SettingsError, load_settings


def test_the_environment_comes_over_the_file_and_options_over_both(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text('[listen]\nport = 1\ndrain_s = 5\n[models.aliases]\n"gpt-4o" = "llm"\n')
    environment = {"GATEWAY_LISTEN__PORT": "2", "GATEWAY_TRITON__HTTP": "a:1", "HOME": "/"}
    found = load_settings(file, environment, {"triton": {"http": "b:2"}})
    assert (found.listen.port, found.listen.drain_s) == (2, 5.0)
    assert (found.triton.http, found.models.aliases) == ("b:2", {"gpt-4o": "llm"})


def test_a_file_may_begin_with_a_byte_order_mark_as_windows_writes_it(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text("[listen]\r\nport = 1\r\n", encoding="utf-8-sig")
    assert load_settings(file, {}).listen.port == 1


def test_tables_can_be_written_as_json_in_the_environment():
    found = load_settings(None, {"GATEWAY_MODELS__ALIASES": '{"mine": "embed"}'})
    assert found.models.aliases == {"mine": "embed"}


def test_what_kubernetes_says_of_a_service_named_gateway_is_no_setting():
    told = {
        "GATEWAY_SERVICE_HOST": "10.0.0.1",
        "GATEWAY_SERVICE_PORT_HTTP": "8080",
        "GATEWAY_PORT": "tcp://10.0.0.1:8080",
        "GATEWAY_PORT_8080_TCP_ADDR": "10.0.0.1",
    }
    assert load_settings(None, told) == Settings()


def test_a_misspelled_table_is_named_without_what_it_holds():
    with pytest.raises(SettingsError, match="guard: there is no such setting; guards is") as caught:
        load_settings(None, {"GATEWAY_GUARD__HASH_KEY": "s3cret"})
    assert "s3cret" not in str(caught.value)


def test_nothing_given_is_the_default():
    assert load_settings(None, {}) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("GATEWAY_LISTEN__PROT", "1", "listen.prot: there is no such setting; port is"),
        ("GATEWAY_LISTEN__PORT", "x", "listen.port: input should be a valid integer"),
        ("GATEWAY_MODELS__ALIASES", '{"a": "tokenizer"}', "models.aliases.a: input should be"),
        ("GATEWAY_PORT", "1", "port: there is no such setting; possible: access, bounds,"),
        ("GATEWAY_LISTEN__DRAIN_S", "inf", "listen.drain_s: input should be less than"),
        ("GATEWAY_LISTEN", "5", "listen: a table is needed; '5' given"),
        ("GATEWAY_TRITON__HTTP", "a b:1", r"triton.http: HOST:PORT is needed, .* 'a b:1' given"),
        ("GATEWAY_TRITON__HTTP", "http://a:1", r"triton.http: HOST:PORT is needed"),
        ("GATEWAY_TRITON__GRPC", "a", r"triton.grpc: HOST:PORT is needed"),
        ("GATEWAY_TRITON__METRICS", "a:70000", r"triton.metrics: HOST:PORT is needed"),
        ("GATEWAY_LISTEN__ORIGINS", '["chat"]', r"listen.origins.0: an origin is needed"),
        ("GATEWAY_ACCESS__HOSTS", '["http://a"]', r"access.hosts.0: a name is needed"),
        ("GATEWAY_LISTEN__ADDRESS", "localhost", "listen.address: value is not a valid IPv4"),
    ],
)
def test_a_wrong_setting_is_named(name, text, said):
    with pytest.raises(SettingsError, match=said):
        load_settings(None, {name: text}, {"listen": {}})


def test_a_file_that_is_no_toml_is_named(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text("[listen")
    with pytest.raises(SettingsError, match=r"gateway\.toml"):
        load_settings(file, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[listen]\nport = true", "listen.port: a number is needed; True given"),
        (
            "[access.generating]\nrunning = true",
            "access.generating.running: a number is needed",
        ),
        (
            "[access.tiers.gold]\nweight = true",
            "access.tiers.gold.weight: a number is needed",
        ),
        ('[access]\nkeys = "a\\u0000"', "access.keys: no setting can have a NUL character$"),
        ('[access]\nhosts = ["\\u0000"]', "access.hosts: no setting can have a NUL character"),
        ("[access.tiers.gold]\nwait = 1", "gold.wait: there is no such setting; weight is"),
        ("[[routing.rules]]\nmodel = 1", "rules.0.model: there is no such setting; models is"),
        ("[[listen]]\nport = 1", "listen: a table is needed"),
    ],
)
def test_a_wrong_setting_in_a_file_is_named(tmp_path, text, said):
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=said):
        load_settings(file, {}, {"listen": {}})


def test_a_file_in_another_encoding_is_named(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_bytes("# Schlüssel".encode("latin-1"))
    with pytest.raises(SettingsError, match=r"gateway\.toml: not UTF-8 at byte 6"):
        load_settings(file, {})


@pytest.mark.parametrize(
    "url",
    ["postgresql://a:s3cret@::", "postgresql://a:s3cret@b:0/c", "mysql://a:s3cret@b/c"],
)
def test_a_url_of_no_database_is_refused_without_its_password(url):
    with pytest.raises(SettingsError, match=r"access\.keys: a file, or postgresql:") as refused:
        load_settings(None, {}, {"access": {"keys": url}})
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("table", "key", "said"),
    [
        ("access", "keys", r"access\.keys: .*its folder does not exist"),
        ("access", "ledger", r"access: .*its folder does not exist"),
        ("guards", "audit_file", r"guards: .*its folder does not exist"),
    ],
)
def test_a_file_whose_folder_is_missing_is_named_at_the_start(tmp_path, table, key, said):
    found = load_settings(None, {}, {table: {key: str(tmp_path / "no" / "file")}})
    with pytest.raises(SettingsError, match=said):
        check(found)


def test_a_folder_is_no_ledger(tmp_path):
    found = load_settings(None, {}, {"access": {"ledger": str(tmp_path)}})
    with pytest.raises(SettingsError, match="is a folder; a file is needed"):
        check(found)


def test_a_start_warns_of_keys_that_are_not_there_yet(tmp_path, caplog):
    found = load_settings(None, {}, {"access": {"keys": str(tmp_path / "keys.json")}})
    check(found)
    assert "until 'python -m gateway keys create' makes it every request is refused" in caplog.text


def test_a_wrong_setting_ends_the_command_as_a_wrong_option_does(tmp_path, capsys):
    file = tmp_path / "gateway.toml"
    file.write_text("[listen]\nprot = 1\n")
    assert main(["serve", "--config", str(file)]) == 2
    assert "listen.prot" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["http://a:s3cret@b", "redis://:s3cret@b:99999"])
def test_a_url_of_no_store_is_refused_without_its_password(url):
    for table, key in (("access", "counts"), ("cache", "url")):
        with pytest.raises(SettingsError, match=rf"{table}\.{key}: no URL of a store") as refused:
            load_settings(None, {}, {table: {key: url}})
        assert "s3cret" not in str(refused.value)


def test_files_need_a_folder_that_can_be_made(tmp_path):
    (tmp_path / "taken").touch()
    found = load_settings(None, {}, {"files": {"folder": tmp_path / "taken"}})
    with pytest.raises(SettingsError, match=r"files\.folder: .*taken: File exists"):
        check(found)


def test_files_need_a_folder_and_a_register_that_can_be_written(tmp_path):
    nobody_writes = load_settings(None, {}, {"files": {"folder": "/proc/self/fdinfo"}})
    with pytest.raises(SettingsError, match=r"files\.folder: /proc/self/fdinfo: "):
        check(nobody_writes)
    (tmp_path / "register.sqlite").write_bytes(b"not a database, but long enough " * 99)
    found = load_settings(None, {}, {"files": {"folder": tmp_path}})
    with pytest.raises(SettingsError, match=r"files\.folder: .*register .*not a database"):
        check(found)


def test_every_web_page_may_ask_with_keys_only():
    with pytest.raises(SettingsError, match=r"listen\.origins: '\*' given, and access\.keys names"):
        serve(Settings(listen=Listen(port=0, origins=("*",))))
