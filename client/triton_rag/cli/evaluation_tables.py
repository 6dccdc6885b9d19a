"""The tables of `evaluate`: a row for each split, every figure with its 95 % interval."""

from collections.abc import Iterator, Mapping

from triton_rag.evaluation.figures import MRR, Figure, Figures

Splits = Mapping[str, Figures]
Rows = list[dict[str, str]]
"""Rows as cells by column; every row has the same columns."""


def tables(splits: Splits) -> dict[str, Rows]:
    """The rows of each table, by its title; `splits` has at least one."""
    return {
        "retrieval": list(_retrieval_rows(splits)),
        "answers": list(_answer_rows(splits)),
        "time of an answer": list(_time_rows(splits)),
    }


def _retrieval_rows(splits: Splits) -> Iterator[dict[str, str]]:
    """A row for each order of the passages that `retrieve` returned."""
    for split, found in splits.items():
        for order, row in found.retrieval.items():
            shown = {
                name: _mean(figure) if name == MRR else _share(figure)
                for name, figure in row.items()
            }
            yield {"split": split, "answerable": str(found.answerable), "order": order, **shown}


def _answer_rows(splits: Splits) -> Iterator[dict[str, str]]:
    for split, found in splits.items():
        yield {
            "split": split,
            "answerable": str(found.answerable),
            "right": _share(found.right),
            "of these cited right": _share(found.cited_right),
            "refused wrongly": _share(found.refused_wrongly),
            "unanswerable": str(found.unanswerable),
            "refused rightly": _share(found.refused_rightly),
        }


def _time_rows(splits: Splits) -> Iterator[dict[str, str]]:
    for split, found in splits.items():
        answered = found.answerable + found.unanswerable - found.errors
        times = {"p50": f"{found.p50_s:.2f} s", "p99": f"{found.p99_s:.2f} s"}
        yield {"split": split, "answered": str(answered), "failed": str(found.errors), **times}


def _share(figure: Figure) -> str:
    if not figure.count:
        return "-"
    return f"{figure.value:.0%} ({figure.low * 100:.0f}-{figure.high * 100:.0f})"


def _mean(figure: Figure) -> str:
    return f"{figure.value:.2f} ({figure.low:.2f}-{figure.high:.2f})" if figure.count else "-"
