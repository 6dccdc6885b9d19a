"""Writes docs/evaluation.md."""

from collections.abc import Mapping

from triton_rag.cli.evaluation_tables import Rows, tables
from triton_rag.evaluation.figures import Figures

from tests.evaluation.splits import HELD_OUT, TUNE

PAGE = """\
# Evaluation

How good retrieval and answers are over real text: {count} questions over 156 documents \
(Python's library, SQLite, PostgreSQL, Git, Apache, Linux manual pages, a desktop's help, rules \
of card games, licences, Debian), which nobody wrote for this project. `make evaluate` asks them \
and writes this page; [tests/evaluation/](../tests/evaluation/README.md) says where the texts and \
the questions come from. To judge the models on your own documents: \
[client/README.md](../client/README.md#evaluate).

| served | |
|---|---|
{models}
| machine | {machine} |

Each question is sent with the documents of its folder, 4 to 27 of them. Choices may be made on \
the split `tune` only, so `held_out` is the figure to believe. *First* are those of its questions \
that were there while choices were made, *added* those that were written afterwards. *Unseen \
folders* are those of the added ones about subjects that no choice has seen, as a user's are. How \
`min_relevance` was chosen, below which a question is refused: \
decisions [0097](decisions/0097-fewer-questions-are-refused.md) and \
[0107](decisions/0107-the-best-of-many-must-be-more-relevant.md). In parentheses: the 95 % \
interval.

## Retrieval

{retrieval}

A passage is right if it is of the right document, holds an answer and has at least half of the \
words of the evidence. All orders are of the passages that `retrieve` returned: as it served \
them, by the embedder's cosine, and by the reranker's score.

## Answers

{answers}

*Right*: one of the known answers stands in the text, and the text is no refusal. *Cited right*: \
the citation behind the answer names a right passage. *Refused*: `finish_reason` is \
`ungrounded`, or the text has a sentence of refusal.

## Time

{times}

One question at a time. The documents were embedded before, and the embedder keeps their rows \
([decision 0016](decisions/0016-the-embedder-keeps-rows.md)).
"""


def page(splits: Mapping[str, Figures], models: Mapping[str, str], machine: str) -> str:
    """The page for the figures of each split; `models` by role."""
    retrieval, answers, times = tables(splits).values()
    return PAGE.format(
        count=sum(splits[name].answerable + splits[name].unanswerable for name in (HELD_OUT, TUNE)),
        models=model_rows(models),
        machine=machine,
        retrieval=markdown(retrieval),
        answers=markdown(answers),
        times=markdown(times),
    )


def model_rows(models: Mapping[str, str]) -> str:
    """Lines of a table of Markdown."""
    return "\n".join(f"| {role} | {name} |" for role, name in models.items())


def markdown(rows: Rows) -> str:
    """A table of Markdown."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
