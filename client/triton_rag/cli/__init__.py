"""The command line: `triton-rag` and `python -m triton_rag`."""

import os
import sys
from collections.abc import Sequence

from triton_rag.cli.commands import run
from triton_rag.cli.documents import DocumentsError
from triton_rag.cli.parser import make_parser
from triton_rag.errors import TritonRagError

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0, 1 (the call failed), 2 (usage), 130 (Ctrl-C)."""
    options = make_parser().parse_args(arguments)
    try:
        status = run(options)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print(file=sys.stderr)  # leave the line that the answer, or "^C", is on
        return _complain("cancelled", INTERRUPTED)
    except (DocumentsError, ValueError) as error:
        return _complain(str(error), USAGE)
    except TritonRagError as error:
        request = f" (request {error.request_id})" if error.request_id else ""
        return _complain(str(error) + request, FAILED)
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _complain(message: str, status: int) -> int:
    print(f"triton-rag: {message}", file=sys.stderr)
    return status
