"""What is rendered for Envoy: Envoy takes it, and what can't be right is refused before."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from click.testing import CliRunner

from gateway.address import Address
from gateway.envoy.cli import render_envoy
from gateway.envoy.edge import (
    Edge,
    Kind,
    ListenTls,
    ServerTls,
    Version,
    render,
)
from gateway.envoy.process import envoy_binary

A, B, C, D = (Address("127.0.0.1", port) for port in (8000, 8001, 8002, 8003))


def clusters(edge: Edge) -> dict[str, Any]:
    return {
        each["name"]: each for each in yaml.safe_load(render(edge))["static_resources"]["clusters"]
    }


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """Files of an authority, a certificate and its key."""
    authority, files = trustme.CA(), tuple(folder / f"{n}.pem" for n in ("ca", "cert", "key"))
    issued = authority.issue_cert("edge.test")
    authority.cert_pem.write_to_path(str(files[0]))
    issued.cert_chain_pems[0].write_to_path(str(files[1]))
    issued.private_key_pem.write_to_path(str(files[2]))
    return files[0], files[1], files[2]


@pytest.mark.parametrize("kind", Kind)
def test_envoy_itself_takes_all_of_it(kind, tmp_path):
    ca, certificate, key = certificates(tmp_path)
    edge = Edge(
        kind,
        (Version("stable", (A, B), 90), Version("canary", (C,), 10)),
        mirror=(D,),
        mirror_percent=50,
        listen_tls=ListenTls(certificate, key, ca),
        server_tls=ServerTls(ca, "edge.test", certificate, key),
        prefix_bytes=256,
        rate_limits=D,
    )
    file = tmp_path / "envoy.yaml"
    file.write_text(render(edge), encoding="utf-8")
    found = subprocess.run(
        [envoy_binary(), "--mode", "validate", "--config-path", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert "deprecated" not in found.stderr


@pytest.mark.parametrize("text", ["127.0.0.1:8000", "[::1]:9901", "gateway.local:80"])
def test_an_address_is_written_as_it_is_read(text):
    assert str(Address.parse(text)) == text


def test_one_dead_server_of_two_may_have_its_half_tried_again():
    def budget(*servers: Address) -> float:
        by_load = clusters(Edge(Kind.GATEWAY, (Version("stable", servers),)))["stable-by-load"]
        (limits,) = by_load["circuit_breakers"]["thresholds"]
        return float(limits["retry_budget"]["budget_percent"]["value"])

    assert budget(A, B) == 50
    assert budget(*(Address("10.0.0.1", port) for port in range(1, 11))) == 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give --gateway or --triton"),
        (["--gateway", "a:1", "--triton", "b:1"], "give --gateway or --triton"),
        (["--gateway", "8000"], "'8000' is not HOST:PORT"),
        (["--gateway", "a:99999"], "'a:99999' is not HOST:PORT"),
        (["--gateway", "a:1", "--admin", "0.0.0.0:9901"], "this page has no key"),
        (["--gateway", "a:1", "--key", __file__], "TLS needs --certificate and --key"),
        (["--gateway", "a:1", "--server-ca", __file__], "--server-ca and --server-name"),
        (["--gateway", "a:1", "--canary-percent", "100"], "100 is not in the range"),
    ],
)
def test_what_cannot_be_right_is_refused(options, message):
    found = CliRunner().invoke(render_envoy, options)
    assert found.exit_code == 2
    assert message in found.output


def test_a_canary_takes_its_percentage_from_the_others():
    options = ["--gateway", "a:1", "--canary", "b:2", "--canary-percent", "25"]
    rendered = yaml.safe_load(CliRunner().invoke(render_envoy, options).output)
    (chain,) = rendered["static_resources"]["listeners"][0]["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    for route in routes:
        weighted = route["route"]["weighted_clusters"]["clusters"]
        assert [each["weight"] for each in weighted] == [75, 25]
    assert len(routes) == 3
