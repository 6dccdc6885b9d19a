"""Clients that can't change, as published, against the entries that are made for them.

They have an environment of their own: `make .venv-clients/.ready`.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from builders.spec import ROOT
from tests.server.conftest import BOUND_S, Server
from tests.server.test_llm import generate

PYTHON = ROOT / ".venv-clients/bin/python"
SCRIPTS = Path(__file__).parent / "clients"
PROMPT, TOKENS = "hello", 12


def ask(
    script: str, url: str, tokens: int = TOKENS, python: Path = PYTHON, prompt: str = PROMPT
) -> dict[str, Any]:
    ready = python.parents[1].relative_to(ROOT) / ".ready"
    assert python.is_file(), f"no published clients: `make {ready}` installs them"
    command = [python, SCRIPTS / script, url, prompt, str(tokens)]
    run = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=BOUND_S,
        env={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "PATH": "/usr/bin:/bin"},
    )
    assert run.returncode == 0, run.stderr[-2000:]
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def expected(server: Server) -> str:
    return generate(server, PROMPT, max_tokens=TOKENS).text


def test_langchain_nvidia_trt(server: Server, expected: str) -> None:
    found = ask("ask_with_langchain.py", server.url)
    assert found["whole"] == "".join(found["chunks"]) == expected


def test_litellm_infer(server: Server, expected: str) -> None:
    found = ask("ask_with_litellm.py", server.http_url)
    assert found["whole"] == expected
    assert "max_tokens: 0 given" in found["refusal"]
