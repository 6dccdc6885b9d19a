"""The rows of the pages: all that is held out, parts of it, and what choices are made on."""

from collections.abc import Sequence

from triton_rag.evaluation.outcomes import Outcome

HELD_OUT, TUNE = "held_out", "tune"
FIRST, ADDED, UNSEEN = (f"{HELD_OUT}: {part}" for part in ("first", "added", "unseen folders"))
UNSEEN_FOLDERS = ("apache", "desktop", "git", "project", "solitaire")
"""No question of `tune` is about them."""
OWNERS_FOLDERS = ("practice", "servers", "school", "house", "bikes", "transit", "family", "ecology")
"""Folders of notes; the questions of the first four are of the split `tune`."""


def by_part(first: Sequence[Outcome], added: Sequence[Outcome]) -> dict[str, Sequence[Outcome]]:
    """Outcomes by row; `first` are those of questions.jsonl, `added` those of held_out.jsonl."""
    held_out = [outcome for outcome in first if outcome.question.split == HELD_OUT]
    return {
        HELD_OUT: [*held_out, *added],
        FIRST: held_out,
        ADDED: added,
        UNSEEN: [outcome for outcome in added if outcome.question.folder in UNSEEN_FOLDERS],
        TUNE: [outcome for outcome in first if outcome.question.split == TUNE],
    }
