"""Writes the part of docs/evaluation.md about folders of notes."""

from collections.abc import Mapping

from triton_rag.cli.evaluation_tables import tables
from triton_rag.evaluation.figures import Figures

from tests.evaluation.page import OWNERS, markdown
from tests.served_models import in_words

PAGE = f"""\
{OWNERS}
Served: {{models}}; {{machine}}. Eight folders of 59 or 60 files each (notes, mails, tables, \
calendars, settings, …), as a practice, a family or a team has them: invented, each by an author \
(a language model) who had seen nothing of this project. Each folder is a collection, and has 50 \
questions as its owner asks them from memory, two thirds in other words than the documents'. \
Choices may be made on the four folders of `tune`.

{{retrieval}}

{{answers}}

{{times}}
"""


def page(splits: Mapping[str, Figures], models: Mapping[str, str], machine: str) -> str:
    """The part for the figures of each split; `models` by role."""
    retrieval, answers, times = map(markdown, tables(splits).values())
    return PAGE.format(
        models=in_words(models), machine=machine, retrieval=retrieval, answers=answers, times=times
    )
