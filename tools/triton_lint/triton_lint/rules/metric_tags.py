"""Metric tags."""

import re
from collections.abc import Iterator

from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.repository import Repository
from triton_lint.rule import ERROR, check


@check("TRN423", ERROR)
def _metric_tags(model: Model, _: Repository) -> Iterator[Problem]:
    for entry in model.config.entries("metric_tags"):
        if not re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9_]*)?", str(entry.key)):
            yield Problem(
                entry.node.at,
                f"metric tag '{entry.key}' makes no Prometheus label (letters and digits, then "
                "also _): the server ends with an exception",
            )
