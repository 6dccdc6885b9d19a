"""Writes the half of docs/evaluation.md about a collection."""

from collections.abc import Mapping

from triton_rag.cli.evaluation_tables import tables
from triton_rag.evaluation.figures import Figures
from triton_rag.ingestion.report import IngestReport

from tests.evaluation.page import COLLECTION, markdown
from tests.served_models import in_words

PAGE = f"""\
{COLLECTION}
Served: {{models}}; {{machine}}. The first 151 questions, asked over all {{documents}} documents \
at once: `ingest` made them a collection of {{passages:,}} passages in LanceDB. The orders are of \
the candidates that the store found: by the embedder's cosine, by words (BM25), *fused* of both, \
by the reranker, and as served ([0047](decisions/0047-the-rerankers-share.md)).

{{retrieval}}

{{answers}}

{{times}}
"""


def page(
    splits: Mapping[str, Figures], report: IngestReport, models: Mapping[str, str], machine: str
) -> str:
    """The half for the figures of each split; `models` by role."""
    retrieval, answers, times = tables(splits).values()
    return PAGE.format(
        documents=report.documents,
        passages=report.passages,
        models=in_words(models),
        machine=machine,
        retrieval=markdown(retrieval),
        answers=markdown(answers),
        times=markdown(times),
    )
