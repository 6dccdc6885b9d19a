"""Copies a collection into another store: `python -m python_backends.stores.move NAME --to PLACE`.

Both stores are opened by this process, so it needs no server and no embedder, and a server of
either store may run. Documents arrive in a collection with another name, `NAME.incomplete`, which
gets its own name when nothing is missing. Run again after it was stopped, it copies the rest.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ensembles.collections import STORE_VARIABLE
from python_backends.errors import RequestError
from python_backends.stores.load import load_store
from python_backends.stores.store import (
    Collection,
    DocumentEntry,
    Store,
    check_name,
    exists_already,
)

INCOMPLETE = ".incomplete"
"""Suffix of a collection's name in the target until the copy is complete."""
PASSES = 5
"""Most passes: each one copies what was changed during the one before."""
LISTED = 10_000
PASSAGES = 1_024
"""A commit has about this many passages: documents are never divided."""

Entries = Mapping[str, DocumentEntry]


@dataclass(frozen=True)
class Progress:
    """Passages that are in the target; `kept` of them were there before this run."""

    passages: int
    kept: int
    of_passages: int


OnProgress = Callable[[Progress], None]


def move(
    source: Store, target: Store, name: str, on_progress: OnProgress = lambda progress: None
) -> Collection:
    """Copy a collection as it is when this ends; the source keeps its own.

    Raises `RequestError` where the target has a collection of that name, or an unfinished one that
    another embedder made, and what the stores raise.
    """
    whole, partial = source.collection(name), check_name(name + INCOMPLETE)
    if whole.fault:
        raise RequestError(f"collection: '{name}' can't be copied: {whole.fault}")
    names = {one.name: one for one in target.collections()}
    if name in names:
        raise exists_already(names[name])
    begun = names.get(partial) or target.create(partial, whole.embedder, whole.dimension)
    _require_same_embedder(begun, whole)
    for _ in range(PASSES):
        copied_s = whole.updated_s
        _copy(source, target, name, partial, on_progress)
        whole = source.collection(name)
        if whole.updated_s == copied_s:
            return target.rename(partial, name)
    raise RequestError(
        f"collection: '{name}' changes all the time; stop what writes to it, then move again"
    )


def _require_same_embedder(begun: Collection, whole: Collection) -> None:
    if begun.embedder != whole.embedder:
        raise RequestError(
            f"collection: '{begun.name}' has documents of the embedder {begun.embedder}, and "
            f"'{whole.name}' is of {whole.embedder}; delete '{begun.name}', then move again"
        )


def _copy(source: Store, target: Store, name: str, partial: str, on_progress: OnProgress) -> None:
    """Make the partial collection equal to the source. Documents without a hash are written in
    every run: whether they changed is not known."""
    wanted, there = _entries(source, name), _entries(target, partial)
    gone = [one for one in there if one not in wanted]
    for start in range(0, len(gone), LISTED):
        target.remove(partial, gone[start : start + LISTED])
    rest = [e for e in wanted.values() if not e.content_hash or there.get(e.id) != e]
    total = sum(entry.passages for entry in wanted.values())
    done = kept = total - sum(entry.passages for entry in rest)
    on_progress(Progress(done, kept, total))
    for batch in _batches(rest):
        if documents := source.read(name, [entry.id for entry in batch]):
            target.replace(partial, documents)
        done += sum(entry.passages for entry in batch)
        on_progress(Progress(done, kept, total))


def _entries(store: Store, name: str) -> Entries:
    """All documents of a collection, by id."""
    found: dict[str, DocumentEntry] = {}
    while page := store.documents(name, next(reversed(found), ""), LISTED):
        found.update({entry.id: entry for entry in page})
    return found


def _batches(entries: Sequence[DocumentEntry]) -> Iterator[list[DocumentEntry]]:
    batch: list[DocumentEntry] = []
    for entry in entries:
        batch.append(entry)
        if sum(each.passages for each in batch) >= PASSAGES:
            yield batch
            batch = []
    if batch:
        yield batch


def main(arguments: Sequence[str] | None = None) -> int:
    """Copy a collection. The exit status is 0 if it was copied, 1 if not, 130 after Ctrl-C."""
    given = _parser().parse_args(arguments)
    try:
        source, target = load_store(given.source), load_store(given.to)
    except RequestError as error:
        return _failed(str(error), 1)
    try:
        moved = move(source, target, given.name, _show)
    except RequestError as error:
        return _failed(str(error), 1)
    except KeyboardInterrupt:
        return _failed("interrupted; the same command goes on", 130)
    finally:
        source.close()
        target.close()
    counts = f"{moved.documents:,} documents, {moved.passages:,} passages"
    print(f"{moved.name}: {counts} are in the new store, all of them; the old one is still there")
    return 0


def _parser() -> argparse.ArgumentParser:
    how = (__doc__ or "").split("\n\n")[1]
    description = f"Copies a collection into another store. {how}"
    parser = argparse.ArgumentParser(prog="move", description=description)
    default = os.environ.get(STORE_VARIABLE) or "build/collections"
    parser.add_argument("name", help="the collection")
    parser.add_argument("--to", required=True, help="a folder, or a postgresql:// URL")
    parser.add_argument(
        "--from",
        dest="source",
        default=default,
        help="where it is now, and stays (default: build/collections)",
    )
    return parser


def _show(progress: Progress) -> None:
    kept = f" ({progress.kept:,} were there)" if progress.kept else ""
    line = f"{progress.passages:,} of {progress.of_passages:,} passages{kept}"
    print(line, end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)


def _failed(message: str, status: int) -> int:
    print(f"move: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
