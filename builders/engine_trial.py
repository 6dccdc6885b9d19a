"""Tries an engine folder before it is published: `python -m python_backends.trial`."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from builders.build_steps import BuildLog
from builders.errors import BuildError, CommandError
from builders.spec import ModelSpec, Sku

ASKED_FILE = "prompts.json"
"""File with the inputs of reference and engine: an encoder's texts, or an LLM's prompts as ids."""

NEW_TOKENS = 8
"""Tokens that an LLM generates after each prompt."""

QUERY = "Which port does the gateway listen on?"
"""The query that a reranker scores with each of the texts."""


def try_prompt(model: str, folder: Path, log: BuildLog) -> tuple[list[int], str]:
    """Render the prompt of a sample question. Returns the ids that end an answer in the chat
    template, and its syntax of tool calls (python_backends/tool_calls/syntax.py; empty: none).

    Raises `BuildError` when the prompt can't be rendered or does not fit the model.
    """
    answer = _ask(model, "prompt", {"folder": str(folder)}, log)
    return answer["end_of_turn"], answer["tool_calls"]


def answers(
    spec: ModelSpec, sku: Sku, engine: Path, reference: Path, log: BuildLog
) -> dict[str, Any]:
    """The engine's ids after each prompt of `reference`, or FP32 rows of its texts, computed
    `alone` and `together`."""
    asked = json.loads((reference / ASKED_FILE).read_text(encoding="utf-8"))
    placed = sku.place(spec.role).parameters
    if spec.role == "llm":
        kind, question = "generate", {"prompts": asked, "max_tokens": NEW_TOKENS}
    else:
        kind, question = "encode", {"query": QUERY, "texts": asked}
        # With a cache, the second run would return the kept rows and compute none together.
        placed = placed | {"precision": "fp32", "cached_rows": 0}
    parameters = {name: str(value) for name, value in placed.items()}
    return _ask(spec.name, kind, question | {"folder": str(engine), "parameters": parameters}, log)


def _ask(model: str, kind: str, question: dict[str, Any], log: BuildLog) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        asked, answered = Path(scratch) / "question.json", Path(scratch) / "answer.json"
        asked.write_text(json.dumps(question), encoding="utf-8")
        command = [sys.executable, "-m", "python_backends.trial", kind, str(asked), str(answered)]
        try:
            log.run(command, {})
        except CommandError as error:
            raise log.failure(model, f"trial of the {kind}", error) from error
        answer: dict[str, Any] = json.loads(answered.read_text(encoding="utf-8"))
    if "error" in answer:
        raise BuildError(f"model '{model}': {answer['error']}")
    return answer
