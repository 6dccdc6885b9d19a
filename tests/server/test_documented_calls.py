"""The calls in README and docs work as pasted."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from builders.spec import ROOT
from tests.server.conftest import BOUND_S, Server
from tests.server.gateway import Gateway

PAGES = ("README.md", "docs/run.md")
GATEWAY_PAGES = (*PAGES, "docs/gateway.md")


def blocks(language: str, pages: Sequence[str] = PAGES) -> list[tuple[str, str]]:
    found = []
    for page in pages:
        text = (ROOT / page).read_text()
        for index, block in enumerate(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)):
            found.append((f"{page}-{language}-{index}", block))
    return found


def at(server: Server, block: str, gateway: str = "") -> str:
    """The block with this server's ports, and this gateway's address, for the default ones."""
    http, grpc = str(server.ports.http), str(server.ports.grpc)
    block = re.sub(r"\blocalhost:8080\b", gateway, block)
    return re.sub(r":8000\b", f":{http}", re.sub(r":8001\b", f":{grpc}", block))


PYTHON = blocks("python", (*PAGES, "docs/collections.md"))
SHELL = [
    (f"{name}-{number}", line)
    for name, block in blocks("bash", GATEWAY_PAGES)
    for number, line in enumerate(block.splitlines())
    if line.startswith(("curl", ".venv/bin/python -m triton_rag")) and "REQUEST_ID" not in line
]


@pytest.mark.parametrize("block", [b for _, b in PYTHON], ids=[n for n, _ in PYTHON])
def test_python_blocks_run(server: Server, block: str, tmp_path: Path) -> None:
    script = tmp_path / "pasted.py"
    script.write_text(at(server, block))
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, timeout=BOUND_S
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("line", [line for _, line in SHELL], ids=[n for n, _ in SHELL])
def test_shell_lines_run(server: Server, gateway: Gateway, line: str) -> None:
    if "triton_rag" in line:
        line += f" --url 127.0.0.1:{server.ports.grpc}"
    done = subprocess.run(
        at(server, line, gateway.url),
        shell=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=BOUND_S,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert '"error"' not in done.stdout


def test_there_is_something_to_paste() -> None:
    assert len(PYTHON) >= 3
    assert len(SHELL) >= 3
