"""The rows of the pages: all that is held out, parts of it, and what choices are made on."""

from collections.abc import Sequence

from triton_rag.evaluation.outcomes import Outcome

HELD_OUT, TUNE = "held_out", "tune"
FIRST, ADDED, UNSEEN, NEW, BLIND = (
    f"{HELD_OUT}: {part}"
    for part in ("first", "added", "unseen folders", "new folders", "blind folders")
)
UNSEEN_FOLDERS = ("apache", "desktop", "git", "project", "solitaire")
"""No question of `tune` is about them."""
NEW_FOLDERS = ("hledger", "imagemagick", "panorama", "time")
"""Their questions were first read with the settings of decision 0119, then with 0120's."""
BLIND_FOLDERS = ("flows", "freeciv", "stars")
"""Nothing was chosen after their questions were read (decision 0123)."""
OWNERS_FOLDERS = ("practice", "servers", "school", "house", "bikes", "transit", "family", "ecology")
"""Folders of notes; the questions of the first four are of the split `tune`."""


def by_part(
    first: Sequence[Outcome],
    added: Sequence[Outcome],
    new: Sequence[Outcome],
    blind: Sequence[Outcome],
) -> dict[str, Sequence[Outcome]]:
    """Outcomes by row: those of the four files of questions."""
    held_out = [outcome for outcome in first if outcome.question.split == HELD_OUT]
    return {
        HELD_OUT: [*held_out, *added, *new, *blind],
        FIRST: held_out,
        ADDED: added,
        UNSEEN: [outcome for outcome in added if outcome.question.folder in UNSEEN_FOLDERS],
        NEW: new,
        BLIND: blind,
        TUNE: [outcome for outcome in first if outcome.question.split == TUNE],
    }
