"""Machines that are not as usual: paths, variables, a second server, another work folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from builders.repository import REPOSITORY
from builders.spec import ROOT, load_sku
from operations.cpu_server import CpuServer
from operations.ports import free_ports
from tests.server.conftest import Server, linked, until_killed

GONE = "/nowhere"
READY = """
import os, urllib.request
print(urllib.request.urlopen(os.environ["TRITON_RAG_GATEWAY_URL"] + "/readyz").read())
"""
EMBED = """
import json, os, urllib.request
url = os.environ["TRITON_RAG_GATEWAY_URL"] + "/v1/embeddings"
body = json.dumps(dict(model="embed", input="hello")).encode()
request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
print(urllib.request.urlopen(request).read())
"""
GENERATE = "python -m triton_rag generate hello --max-tokens 3"


def serve(work_folder: Path, variables: dict[str, str], *without: str, ask: str = GENERATE) -> str:
    """What `serve` says; it must come up with its gateway, answer over gRPC, and end well."""
    kept = {name: value for name, value in os.environ.items() if name not in without}
    run = f"{ask} && python -c '{READY}'"
    command = (sys.executable, "-m", "operations", "serve", "--free-ports", "--run", run)
    done = subprocess.run(
        [*command, "--work-folder", str(work_folder)],
        cwd=ROOT,
        env=kept | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_serves_in_a_company_network_beside_another_server(server: Server, tmp_path: Path) -> None:
    """Proxies for everything, no HOME, no usual PATH, a TMPDIR that is not there."""
    names = ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    variables = dict.fromkeys(names, "http://127.0.0.1:9") | {"PATH": GONE, "TMPDIR": GONE}
    work = tmp_path / "wörk folder"
    said = serve(work, variables, "HOME", "LANG", "LC_ALL", "no_proxy", "NO_PROXY")
    assert '{"ready":true,' in said
    assert f"log {work / 'tritonserver.log'}" in said and server.client.is_server_ready()


def test_serves_a_part_of_the_models(tmp_path: Path) -> None:
    """Ready is who serves all that its repository has."""
    repository = linked(tmp_path / "models", "tokenizer", "embedder", "embed")
    variables = {"MODEL_REPOSITORY": str(repository)}
    said = serve(tmp_path / "work", variables, ask=f"python -c '{EMBED}'")
    assert '"object":"embedding"' in said
    assert '{"ready":true,"models":{"embed":"ok"}}' in said
    assert " failing: " not in said and "not ready: " not in said


@pytest.mark.parametrize("name", ["with space", "räg", "q'uo\"te"])
def test_serves_a_repository_at_any_path(name: str, tmp_path: Path) -> None:
    """One model is enough: that its process starts, and finds its engine."""
    repository = tmp_path / name / "models"
    (repository / "tokenizer" / "1").mkdir(parents=True)
    for file in ("config.pbtxt", "1/model.py", "1/engine"):
        source = REPOSITORY / "tokenizer" / file
        (repository / "tokenizer" / file).symlink_to(source.resolve())
    serving = CpuServer(load_sku("cpu"), free_ports(), tmp_path / "log", repository)
    with until_killed(serving) as running:
        assert running.status() is None
