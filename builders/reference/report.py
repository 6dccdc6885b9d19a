"""The tables of docs/reference-models.md, from the evaluations beside the shipped weights.

`python -m builders.reference.report` prints them; a test compares them with the page.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

CHECKPOINTS = Path(__file__).parent / "checkpoints"

LLM_HEAD = """| questions | answerable | value | citation | not answerable | says so | refused |
|---|---|---|---|---|---|---|"""


def llm_table() -> str:
    """A row per set of questions."""
    return "\n".join([LLM_HEAD, *_llm_rows(_evaluation("llm"))])


def _evaluation(model: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(
        (CHECKPOINTS / model / "evaluation.json").read_text(encoding="utf-8")
    )
    return found


def _llm_rows(evaluation: Mapping[str, Any]) -> Iterator[str]:
    for name, row in evaluation.items():
        shares = (row["value"], row["citation"], row["refusal"], row["wrong_refusal"])
        value, citation, says_so, refused = (f"{share:.0%}".replace("%", " %") for share in shares)
        yield (
            f"| {name} | {row['count']} | {value} | {citation} | {row['not_told']} | {says_so} | "
            f"{refused} |"
        )


if __name__ == "__main__":
    print(llm_table())
