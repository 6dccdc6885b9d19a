"""LiteLLM as published, against the entry that is made for it.

Published clients have an environment of their own: `make .venv-clients/.ready`.
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


def ask(script: str, url: str, tokens: int = TOKENS, prompt: str = PROMPT) -> dict[str, Any]:
    assert PYTHON.is_file(), "no published clients: `make .venv-clients/.ready` installs them"
    command = [PYTHON, SCRIPTS / script, url, prompt, str(tokens)]
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


def test_litellm_infer(server: Server, expected: str) -> None:
    found = ask("ask_with_litellm.py", server.http_url)
    assert found["whole"] == expected
    assert "max_tokens: 0 given" in found["refusal"]
