"""Turns errors of LanceDB and its files into errors that a client can read."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from python_backends.errors import RequestError, Unavailable
from python_backends.stores.store import down

logger = logging.getLogger(__name__)


@contextmanager
def faults(name: str) -> Iterator[None]:
    """Turns what LanceDB raises inside into `Unavailable`, with a traceback in the log."""
    try:
        yield
    except RequestError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise  # a panic of LanceDB's Rust is no Exception
        logger.exception("collection '%s'", name)
        raise down(_message(name, error)) from error


def _message(name: str, error: BaseException) -> str:
    if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error):
        return f"collection: '{name}': the disk is full; nothing was changed"
    return (
        f"collection: '{name}': its files can't be used (see the server's log); restore its "
        "folder, or delete it and ingest again"
    )


def unwritable(folder: Path, error: OSError) -> Unavailable:
    """The error of a folder of collections that this account can't write to."""
    return down(
        f"collection: {folder} can't be written to ({error.strerror}); serve with another "
        "--work-folder or --collections"
    )
