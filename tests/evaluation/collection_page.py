"""Writes docs/evaluation-collection.md."""

from collections.abc import Mapping

from triton_rag.cli.evaluation_tables import tables
from triton_rag.evaluation.figures import Figures
from triton_rag.ingestion.report import IngestReport

from tests.evaluation.page import markdown, model_rows

PAGE = """\
# Evaluation over a collection

The first 151 questions of [evaluation.md](evaluation.md), those of `questions.jsonl`, asked over \
all {documents} documents at once: \
`ingest` made them a collection of {passages:,} passages in LanceDB. A question has to find its \
passage among all of them, not among those of its folder. `make evaluate` writes this page with \
what `triton-rag evaluate QUESTIONS.jsonl --collection NAME` prints for yours.

| served | |
|---|---|
{models}
| machine | {machine} |

## Retrieval, by stage

{retrieval}

All rows order the same candidates, which the store found by vector and by words. *By similarity*: \
the embedder's cosine. *By words*: BM25. *Fused*: both, scaled and added. *By relevance*: the \
reranker alone. *As served*: fused, with the reranker's share \
([0047](decisions/0047-the-rerankers-share.md)).

## Answers

{answers}

## Time

{times}
"""


def page(
    splits: Mapping[str, Figures], report: IngestReport, models: Mapping[str, str], machine: str
) -> str:
    """The page for the figures of each split; `models` by role."""
    retrieval, answers, times = tables(splits).values()
    return PAGE.format(
        documents=report.documents,
        passages=report.passages,
        models=model_rows(models),
        machine=machine,
        retrieval=markdown(retrieval),
        answers=markdown(answers),
        times=markdown(times),
    )
