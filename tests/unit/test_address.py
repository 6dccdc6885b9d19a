"""Where a server listens, and who may change it there."""

from dataclasses import replace
from pathlib import Path

import pytest

from builders.spec import load_sku
from operations import cli
from operations.admin_key import KEY_VARIABLE, RESTRICTED, admin_key, restrictions
from operations.cpu_server import CpuServer
from operations.ports import LOOPBACK, Ports
from operations.preflight import PreflightError, ServingEnvironment
from operations.shared_memory import SharedMemory
from operations.triton_process import KEEPALIVE

ENVIRONMENT = ServingEnvironment(Path("/e/bin/python3"), "3.11", "/lib", "1.26.4", Path("/triton"))
OURS = "0123456789abcdef"


@pytest.mark.parametrize(
    ("address", "asked_at"), [("0.0.0.0", LOOPBACK), ("10.1.2.3", "10.1.2.3"), (LOOPBACK, LOOPBACK)]
)
def test_clients_of_this_machine_have_an_address_too(address: str, asked_at: str) -> None:
    assert Ports(address=address).asked_at == asked_at


@pytest.mark.parametrize("command", ["serve", "preflight"])
def test_the_address_is_asked_for_by_number(command: str, capsys) -> None:
    given = cli.cli.commands[command].make_context(command, ["--address", "0.0.0.0"])
    assert given.params["address"] == "0.0.0.0"
    for wrong in ("localhost", "::1", "10.0.0.256", ""):
        assert cli.main([command, "--address", wrong]) == 2
        assert (
            f"{wrong!r} is not an IPv4 address; give one of this machine" in capsys.readouterr().err
        )


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--http-port", "80800"], 2, "80800 is not in the range 1<=x<=65535"),
        (["--http-port", "8001"], 1, "port 8001 is given for http and for grpc"),
        (["--gateway-port", "8003"], 1, "port 8003 is given for health and for gateway"),
        (["--drain-s", "-1"], 2, "-1.0 is not in the range x>0"),
        (["--traces=foo"], 2, "'foo' is not a URL, such as http://127.0.0.1:4318"),
        (["--collections", "mysql://a:s3cret@b"], 2, "a folder or postgresql:// is possible"),
    ],
)
def test_options_that_cannot_serve_are_refused_at_once(words, status, message, capsys) -> None:
    assert cli.main(["serve", *words]) == status
    shown = capsys.readouterr().err
    assert message in shown
    assert "s3cret" not in shown


def command(tmp_path: Path, address: str) -> list[str]:
    server = CpuServer(load_sku("cpu"), Ports(address=address), tmp_path / "log", tmp_path)
    server.shared_memory = SharedMemory(tmp_path)
    environment = replace(ENVIRONMENT, triton=tmp_path)
    environment.stub.parent.mkdir(parents=True)
    environment.stub.touch()
    return server._command(environment)


def test_every_port_is_at_the_address_and_calls_that_change_need_the_key(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, OURS)
    found = command(tmp_path, "10.1.2.3")
    assert {f"--{port}-address=10.1.2.3" for port in ("http", "grpc", "metrics")} <= set(found)
    assert set(restrictions(OURS)) <= set(found)
    assert all(",".join(RESTRICTED) in option for option in restrictions(OURS))


def test_clients_that_vanish_are_noticed(tmp_path: Path) -> None:
    assert set(KEEPALIVE) <= set(command(tmp_path, LOOPBACK))


def test_on_127_0_0_1_nothing_needs_a_key(tmp_path: Path) -> None:
    assert not [option for option in command(tmp_path, LOOPBACK) if "restricted" in option]


def test_the_key_is_given_or_made_anew() -> None:
    assert admin_key({KEY_VARIABLE: OURS}) == OURS
    made = {admin_key({}) for _ in range(10)}
    assert len(made) == 10 and {admin_key({KEY_VARIABLE: key}) for key in made} == made


@pytest.mark.parametrize("wrong", ["short", "with=equals,0123456789", "white space 0123456789"])
def test_a_key_that_triton_would_misread_is_refused_and_not_shown(wrong: str) -> None:
    with pytest.raises(PreflightError, match=f"{KEY_VARIABLE} has {len(wrong)} char") as error:
        admin_key({KEY_VARIABLE: wrong})
    assert wrong not in str(error.value)
