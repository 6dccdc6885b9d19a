"""A process that reads files: a reader that hangs, grows or crashes harms nothing else.

It has a protocol of its own: `multiprocessing` would run the caller's program again, or copy the
locks of gRPC's threads.
"""

from __future__ import annotations

import os
import pickle
import resource
import signal
import subprocess
import sys
from queue import SimpleQueue
from typing import BinaryIO, cast

from triton_rag.ingestion.file_text import OnPage
from triton_rag.ingestion.reading import MAX_READING_BYTES, RENEW, NotRead, Reading, Task, read_file

MAX_READING_S = 120
"""Longest time for one file, or for one page with OCR; after it the process ends itself."""

FILES_AHEAD = 4
"""Files that may be read and not yet taken, for each process."""

_PAGE = "page"
"""A message that a process writes after each page that OCR has read, before the file's text."""


class ReaderProcess:
    """Reads one file at a time, in a process that is started for the first file or earlier, and
    again after it has died."""

    def __init__(self, max_reading_s: int = MAX_READING_S, on_page: OnPage = lambda: None) -> None:
        """`on_page` is called in the thread that reads."""
        self._max_reading_s, self._on_page = max_reading_s, on_page
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def read(self, task: Task) -> Reading:
        """The text of a file, or why it was not read: for example, it killed the process."""
        process = self._process or self.start()
        try:
            pickle.dump(task, _pipe(process.stdin))
            _pipe(process.stdin).flush()
            while (answer := pickle.load(_pipe(process.stdout))) == _PAGE:  # by our own code
                self._on_page()
            return cast("Reading", answer)
        except (EOFError, OSError, pickle.UnpicklingError):
            return NotRead(task.file, self._reason())

    def close(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def start(self) -> subprocess.Popen[bytes]:
        """Start the process. With a safe path, a file `html.py` in the user's folder is not taken
        for Python's module. With one thread of BLAS, numpy starts in three quarters of the time."""
        command = [sys.executable, "-m", __name__, str(self._max_reading_s)]
        environment = {**os.environ, "PYTHONSAFEPATH": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # so that only its parent gets Ctrl-C
        )
        return self._process

    def _reason(self) -> str:
        """The reason why the process has died; the next file starts another one."""
        process, self._process = self._process, None
        if process is None:
            return "its reader was closed"
        process.communicate()
        if process.returncode == -signal.SIGALRM:
            return f"takes more than {self._max_reading_s} s to read"
        return _why_dead(process.returncode)


class ReaderProcesses:
    """Several processes that read files, one for each thread that calls `read`."""

    def __init__(self, count: int | None = None, on_page: OnPage = lambda: None) -> None:
        """`on_page` is called in several threads. The first process is started at once."""
        self.count = count or max(1, min(4, (os.cpu_count() or 1) - 1))
        self._free: SimpleQueue[ReaderProcess] = SimpleQueue()
        self._all = [ReaderProcess(on_page=on_page) for _ in range(self.count)]
        for process in self._all:
            self._free.put(process)
        self._all[0].start()

    @property
    def ahead(self) -> int:
        """Most files that are read and not yet taken; this limits the memory."""
        return FILES_AHEAD * self.count

    def read(self, task: Task) -> Reading:
        """Read a file once a process is free."""
        process = self._free.get()
        try:
            return process.read(task)
        finally:
            self._free.put(process)

    def close(self) -> None:
        for process in self._all:
            process.close()


def serve(max_reading_s: int) -> None:
    """Reads the files that come on standard input until it ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # for packages that print
    resource.setrlimit(resource.RLIMIT_AS, (MAX_READING_BYTES, MAX_READING_BYTES))

    def write(answer: object) -> None:
        pickle.dump(answer, answers)
        answers.flush()

    def on_page() -> None:
        signal.alarm(max_reading_s)
        write(_PAGE)

    while True:
        try:
            task = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        signal.alarm(max_reading_s)  # ends the process wherever it is, in C code too
        reading = read_file(task, on_page)
        signal.alarm(0)
        write(reading)


def _why_dead(status: int) -> str:
    """What a process's status says about the file. SIGABRT: a package asked for more memory than
    there is, such as for a damaged workbook's billion rows."""
    if status == -signal.SIGKILL:
        return "its reader was killed (SIGKILL), as Linux does when memory is short: ingest again"
    how = signal.Signals(-status).name if status < 0 else f"status {status}"
    return f"its reader crashed ({how}): {RENEW}"


def _pipe(pipe: object) -> BinaryIO:
    return cast("BinaryIO", pipe)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
