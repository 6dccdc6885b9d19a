"""How good the reference models are together, through the whole server."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.load.workloads import COLLECTION, documents
from tests.server.conftest import OpenStream, tensor, text


@dataclass(frozen=True)
class Quality:
    """Counts over the sample collection's questions."""

    told: int
    found: int
    """Told questions whose first source has the answer."""
    right: int
    """Told questions whose answer holds the exact value."""
    not_told: int
    refused: int
    """Questions that the collection doesn't tell, where the LLM says so."""


def measure(url: str) -> Quality:
    """All questions over all documents."""
    lines = [json.loads(line) for line in (COLLECTION / "questions.jsonl").open()]
    given = documents()
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda line: ask(url, "rag_cancellable", line["question"], given), lines)
        )
    told = [(a, line["answer"]) for a, line in zip(answers, lines, strict=True) if line["answer"]]
    rest = [a for a, line in zip(answers, lines, strict=True) if not line["answer"]]
    return Quality(
        told=len(told),
        found=sum(value in source for (_, source), value in told),
        right=sum(value in answer for (answer, _), value in told),
        not_told=len(rest),
        refused=sum("do not say" in answer for answer, _ in rest),
    )


def ask(url: str, model: str, question: str, texts: list[str]) -> tuple[str, str]:
    """The answer and its first source."""
    given = tensor("documents", [each.encode() for each in texts], "BYTES")
    stream = OpenStream(url, model, [text("question", question), given])
    response, error = stream.next(timeout_s=300)
    stream.close()
    if error:
        raise error
    names = ("text_output", "sources")
    answer, source = (str(response.as_numpy(name)[0].decode()) for name in names)
    return answer, source
