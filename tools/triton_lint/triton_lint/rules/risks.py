"""Warnings about single models that Triton loads: scheduling."""

import re
from collections.abc import Iterator

from triton_lint.config_tree import Node, Span
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.repository import Repository
from triton_lint.rule import WARNING, check
from triton_lint.tokens import TokenKind, tokenize

_PLACEHOLDER = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
TRT_LLM_VALUES = ("gpt_model_type", "gpt_model_path")
"""Parameters that the backend needs a real value for."""


@check("TRN606", WARNING)
def _left_placeholders(model: Model, _: Repository) -> Iterator[Problem]:
    if "${" not in model.text:
        return
    unset = [node.value_at for node in _unset_parameters(model)]
    for token in tokenize(model.text):
        for match in _PLACEHOLDER.finditer(token.text) if token.kind == TokenKind.STRING else ():
            at = Span(token.start + match.start(), token.start + match.end())
            if not any(each.start <= at.start < each.end for each in unset):
                yield Problem(at, f"{match[0]} was not filled in")


def _unset_parameters(model: Model) -> list[Node]:
    """Parameters that TensorRT-LLM's backend takes as unset when their template is unfilled."""
    entries = model.config.entries("parameters") if model.backend == "tensorrtllm" else []
    return [entry.node for entry in entries if entry.key not in TRT_LLM_VALUES]
