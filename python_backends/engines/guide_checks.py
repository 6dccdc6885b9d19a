"""Refuses guides that the engine could not follow, or not in reasonable time, before it sees them.

The engine compiles a guide within a step, which all its streams share. A guide that the library
can't compile would end all streams, a slow one would delay them, and some guides crash the library.
"""

import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ensembles.guides import GUIDE_TEXT
from python_backends.engines.llm_engine import Guide
from python_backends.errors import Overloaded, RequestError

MOST_CPU_S = 0.5
"""Limit for the first use of a guide. 0.01 to 0.05 s are usual; 300 optional properties take
0.15 s."""

MOST_WAIT_S = 5.0
"""Longest wait for the trial of a guide on a busy machine. Other new guides wait until it ends."""

_NOT_TRIED = "the machine is too busy to prepare it; try again later"

START_S = 60.0
END_S = 5.0
"""How long a process that closed its output may take to end."""

MOST_MEMORY_KIB = 512 * 1024
"""The library keeps each guide, about 60 KiB. A process with more memory is replaced."""

MOST_KNOWN = 4096
"""Guides whose result is kept."""


class GuideChecks:
    """Asks a process that tries guides (guide_trial.py), started with the first of them."""

    def __init__(self, folder: Path, vocabulary: int, ends: Sequence[int]) -> None:
        module = "python_backends.engines.guide_trial"
        self._command = [_python(), "-m", module, str(folder), str(vocabulary), *map(str, ends)]
        self._process: subprocess.Popen[str] | None = None
        self._refusals: OrderedDict[bytes, str] = OrderedDict()
        """Why a guide can't be followed, by the guide's hash; empty: it can."""
        self._lock = threading.Lock()

    def allows(self, guide: Guide) -> bool:
        """Whether an earlier trial of the guide went well."""
        return self._refusals.get(key_of(guide)) == ""

    def check(self, guide: Guide) -> None:
        """Raises `RequestError` for a guide that can't be followed, and `Overloaded` where the
        machine is too busy to find out. Takes up to several seconds."""
        with self._lock:
            key = key_of(guide)
            if key not in self._refusals:
                self._refusals[key] = self._refusal(guide)
            self._refusals.move_to_end(key)
            if len(self._refusals) > MOST_KNOWN:
                self._refusals.popitem(last=False)
            refusal = self._refusals[key]
        if refusal:
            raise RequestError(f"{GUIDE_TEXT}: {refusal}")

    def close(self) -> None:
        """End the process; a trial in progress fails."""
        process = self._process
        if process is not None:
            process.kill()
            process.wait()

    def _refusal(self, guide: Guide) -> str:
        found = self._tried(guide)
        if "error" in found:
            return f"can't be followed as {guide.type}: {found['error']}"
        if found["cpu_s"] > MOST_CPU_S:
            return f"takes {found['cpu_s']:.1f} s to prepare; {MOST_CPU_S} s are possible"
        if found["memory_kib"] > MOST_MEMORY_KIB:
            self._end()
        return ""

    def _tried(self, guide: Guide) -> dict[str, Any]:
        """A guide is refused if it ends two processes, unless these were killed, for example for
        lack of memory; or if a process used its CPU time on it and did not answer in time."""
        for _ in range(2):
            process = self._process or self._started()
            before_s = _cpu_s(process)
            try:
                if answer := _asked(process, {"type": guide.type, "text": guide.text}):
                    return answer
            except TimeoutError:
                worked_s = _cpu_s(process) - before_s
                self._end()
                if worked_s < MOST_CPU_S:
                    raise Overloaded(f"{GUIDE_TEXT}: {_NOT_TRIED}") from None
                return {"error": "it holds up the library that prepares it"}
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_S)  # otherwise its exit status would be that of our kill
            self._end()
        if process.returncode == -signal.SIGKILL:
            raise Overloaded(f"{GUIDE_TEXT}: {_NOT_TRIED}")
        return {"error": "it ends the library that prepares it"}

    def _started(self) -> subprocess.Popen[str]:
        """Raises `RuntimeError`."""
        pipe = subprocess.PIPE
        process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, text=True)
        self._process = process
        with suppress(TimeoutError):
            if _line(process, START_S):
                return process
        self._end()
        raise RuntimeError("the process that tries guides did not start")

    def _end(self) -> None:
        self.close()
        self._process = None


def _python() -> str:
    """Triton's stub can run no module; it takes its packages from the first python3 on PATH."""
    is_stub = not Path(sys.executable or "").name.startswith("python")
    return shutil.which("python3") or "python3" if is_stub else sys.executable


def _asked(process: "subprocess.Popen[str]", guide: dict[str, str]) -> dict[str, Any]:
    """What the process answers; empty when it has ended. Raises `TimeoutError`."""
    assert process.stdin
    answer = ""
    with suppress(BrokenPipeError):
        print(json.dumps(guide), file=process.stdin, flush=True)
        answer = _line(process, MOST_WAIT_S)
    found: dict[str, Any] = json.loads(answer or "{}")
    return found


def _line(process: "subprocess.Popen[str]", wait_s: float) -> str:
    """The next line; empty when the process has ended. Raises `TimeoutError`."""
    assert process.stdout
    ready, _, _ = select.select([process.stdout], [], [], wait_s)
    if not ready:
        raise TimeoutError(f"the process that tries guides said nothing for {wait_s:g} s")
    return process.stdout.readline()


def _cpu_s(process: "subprocess.Popen[str]") -> float:
    """Processor time of a process so far; 0 for one that has ended."""
    try:
        state = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    ticks = state.rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def key_of(guide: Guide) -> bytes:
    """A short key, equal for equal guides."""
    return hashlib.blake2b(f"{guide.type}\n{guide.text}".encode(), digest_size=16).digest()
