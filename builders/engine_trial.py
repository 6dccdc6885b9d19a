"""Tries an engine folder before it is published: `python -m python_backends.trial`."""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from builders.build_log import BuildLog
from builders.errors import BuildError, CommandError
from builders.llm_reference import NEW_TOKENS
from builders.spec import ModelSpec, Sku


def try_prompt(model: str, folder: Path, log: BuildLog) -> tuple[list[int], str]:
    """Render the prompt of a sample question: the ids that end an answer in the chat template, and
    the syntax in which it writes tool calls (python_backends/tool_calls/syntax.py; empty: none).

    Raises `BuildError` when the prompt can't be rendered or does not fit the model.
    """
    answer = _ask(model, "prompt", {"folder": str(folder)}, log)
    return answer["end_of_turn"], answer["tool_calls"]


def generate(
    model: str, sku: Sku, folder: Path, prompts: Sequence[Sequence[int]], log: BuildLog
) -> dict[str, Any]:
    """The engine's greedy ids behind each prompt, `alone` and `together`."""
    parameters = {name: str(value) for name, value in sku.place("llm").parameters.items()}
    question = {"folder": str(folder), "prompts": prompts, "max_tokens": NEW_TOKENS}
    return _ask(model, "generate", question | {"parameters": parameters}, log)


def encode(
    spec: ModelSpec, sku: Sku, folder: Path, query: str, texts: Sequence[str], log: BuildLog
) -> dict[str, Any]:
    """The engine's rows for the texts, `alone` and `together`, in FP32 where it has a choice.

    An embedder's texts count as texts, as queries and as passages; a reranker's belong to `query`.
    """
    # Kept rows would be given again, and none be computed together with others.
    placed = sku.place(spec.role).parameters | {"precision": "fp32", "cached_rows": 0}
    question = {
        "folder": str(folder),
        "parameters": {name: str(value) for name, value in placed.items()},
        "query": query,
        "texts": texts,
    }
    return _ask(spec.name, "encode", question, log)


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
