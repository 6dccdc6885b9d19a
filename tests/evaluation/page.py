"""Writes docs/evaluation.md."""

from collections.abc import Mapping

from triton_rag.cli.evaluation_tables import Rows, tables
from triton_rag.evaluation.figures import Figures

from tests.evaluation.splits import BLIND, HELD_OUT, NEW, TUNE, UNSEEN
from tests.served_models import in_words

COLLECTION, OWNERS = "\n## Over a collection\n", "\n## Over folders of notes\n"
"""Begin the parts of the page that `collection_page` and `owners_page` write."""

PAGE = """\
# Evaluation

How good retrieval and answers are over real text: {count} questions over 249 documents \
(Python's library, SQLite, PostgreSQL, Git, Apache, NTPsec, ImageMagick, hledger, panoramas, \
Node-RED, Linux manual pages, a desktop's help, rules of games, sky lore, licences, Debian), \
which nobody wrote for this project; then 400 over eight folders of notes, which were invented \
for it. `make evaluate` asks them and writes this page; \
[tests/evaluation/](../tests/evaluation/README.md) says where the texts and the questions come \
from. To judge your own models and documents: [client/README.md](../client/README.md#evaluate).

Choices may be made on the split `tune` only, so believe `held_out`. *First* are those of its \
questions that were there while choices were made, *added* those that were written afterwards. \
*Unseen folders* are those of the added ones about subjects that no choice has seen. *New \
folders* are about four more subjects. Their first reading led to a lower `min_relevance` \
([0120](decisions/0120-fewer-are-refused-and-new-folders-judge.md)). *Blind folders* are about \
three more, and nothing was changed after their questions were read \
([0123](decisions/0123-three-blind-folders-judge-what-is-served.md)). In parentheses: the 95 % \
interval.

A passage is right if it is of the right document, holds an answer and has at least half of the \
words of the evidence. An answer is *refused* if `finish_reason` is `ungrounded` or the text has a \
sentence of refusal ([0107](decisions/0107-the-best-of-many-must-be-more-relevant.md), \
[0114](decisions/0114-the-reranker-is-a-trained-cross-encoder.md)). Else it is *right* if one of \
the known answers stands in it, and *cited right* if the citation behind that names a right passage.

## Over documents in the request

Served: {models}; {machine}. Each question is sent with the documents of its folder, 4 to 27 of \
them. They were embedded before ([0016](decisions/0016-the-embedder-keeps-rows.md)). Orders are of \
the passages that `retrieve` returned: as it served them, by the embedder's cosine, and by the \
reranker's score.

{retrieval}

{answers}

One question at a time:

{times}
"""


def page(splits: Mapping[str, Figures], models: Mapping[str, str], machine: str) -> str:
    """The page for the figures of each split; `models` by role."""
    whole = tables({name: splits[name] for name in (HELD_OUT, UNSEEN, NEW, BLIND, TUNE)})
    return PAGE.format(
        count=sum(splits[name].answerable + splits[name].unanswerable for name in (HELD_OUT, TUNE)),
        models=in_words(models),
        machine=machine,
        retrieval=markdown(whole["retrieval"]),
        answers=markdown(tables(splits)["answers"]),
        times=markdown(whole["time of an answer"]),
    )


def joined(old: str, new: str) -> str:
    """The page with one of its three parts replaced by `new`."""
    rest, owners_mark, owners = old.partition(OWNERS)
    if new.startswith(OWNERS):
        return rest + new
    requests, mark, collection = rest.partition(COLLECTION)
    changed = requests + new if new.startswith(COLLECTION) else new + mark + collection
    return changed + owners_mark + owners


def markdown(rows: Rows) -> str:
    """A table of Markdown."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
