"""The rows of the pages: all that is held out, its two parts, and what choices are made on."""

from collections.abc import Sequence

from triton_rag.evaluation.outcomes import Outcome

HELD_OUT, FIRST, ADDED, TUNE = "held_out", "held_out: first", "held_out: added", "tune"


def by_part(first: Sequence[Outcome], added: Sequence[Outcome]) -> dict[str, Sequence[Outcome]]:
    """Outcomes by row; `first` are those of questions.jsonl, `added` those of held_out.jsonl."""
    held_out = [outcome for outcome in first if outcome.question.split == HELD_OUT]
    tune = [outcome for outcome in first if outcome.question.split == TUNE]
    return {HELD_OUT: [*held_out, *added], FIRST: held_out, ADDED: added, TUNE: tune}
