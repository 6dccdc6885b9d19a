"""A line on the terminal that shows that something is going on."""

import sys
import threading
import time
from typing import TextIO

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_CLEAR = "\r\x1b[K"


class Progress:
    """Says what is being waited for, with the seconds so far, until `done`.

    Writes to standard error, and only where that is a terminal.
    """

    INTERVAL_S = 0.1

    def __init__(self, what: str, output: TextIO | None = None) -> None:
        self._what = what
        self._output = output or sys.stderr
        self._is_done = threading.Event()
        self._thread = threading.Thread(target=self._show, name="progress", daemon=True)

    def __enter__(self) -> "Progress":
        if self._output.isatty():
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done()

    def done(self) -> None:
        """Take the line away; what is printed next starts where it was."""
        self._is_done.set()
        if self._thread.is_alive():
            self._thread.join()

    def _show(self) -> None:
        start_s, turn = time.monotonic(), 0
        while not self._is_done.wait(self.INTERVAL_S):
            frame, seconds = _FRAMES[turn % len(_FRAMES)], time.monotonic() - start_s
            self._write(f"{_CLEAR}{frame} {self._what} … {seconds:.1f} s")
            turn += 1
        self._write(_CLEAR)

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()
