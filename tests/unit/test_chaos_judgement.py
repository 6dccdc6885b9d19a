"""What the fault suite calls a leak, Triton's own fault, or nothing."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos import results
from tests.chaos.leaks import DEAD_THREADS, FILES, MEMORY_MIB, THREADS, known_leaks, leaks
from tests.chaos.report import Provenance, page
from tests.chaos.resources import SERVER, ProcessUse, Use
from tests.chaos.scenario import Finding, Scenario


def use(model_pid: int = 2, shm_mib: float = 1.0, threads: int = 400, **model: float) -> Use:
    """Figures of a server with one model, whose process has a region of 1 MiB."""
    fields = {
        "memory_mib": 100.0,
        "threads": 5,
        "files": 20,
        "region_mib": 1.0,
        "region_size_mib": 1.0,
    } | model
    server = ProcessUse(SERVER, 1, 50.0, threads, 80)
    return Use((server, ProcessUse("llm", model_pid, **fields)), shm_mib, 0.0)  # type: ignore[arg-type]


def found(after: Use, may_die: bool = True) -> tuple[Sequence[str], Sequence[str]]:
    """What is known and what leaks, of the same server as it was before."""
    return list(known_leaks(use(), after)), list(leaks(use(), after, may_die))


def test_nothing_is_left_behind() -> None:
    assert found(use()) == ([], [])
    assert found(use(model_pid=3)) == ([], [])


@pytest.mark.parametrize(
    ("after", "word"),
    [
        (use(shm_mib=2.0), "/dev/shm 1.0 → 2.0"),
        (use(shm_mib=2.0, region_mib=2.0, region_size_mib=2.0), "llm: /dev/shm 1.0 → 2.0"),
        (use(threads=400 + THREADS + 1), "threads"),
        (use(memory_mib=100 + MEMORY_MIB + 1), ": memory "),
        (use(files=20 + FILES + 1), "files"),
    ],
)
def test_without_a_death_everything_is_a_leak(after: Use, word: str) -> None:
    known, (leak,) = found(after)
    assert word in leak and known == []


def test_what_triton_keeps_of_a_dead_process_is_known() -> None:
    after = use(model_pid=3, shm_mib=2.0, threads=400 + DEAD_THREADS)
    (known,), nothing = found(after)
    assert nothing == [] and "of 1 dead processes 1.0 MiB of /dev/shm, 36 threads" in known
    assert len(found(after, may_die=False)[1]) == 2


def test_more_than_that_is_a_leak() -> None:
    after = use(model_pid=3, shm_mib=4.0, threads=400 + DEAD_THREADS + THREADS + 1)
    assert len(found(after)[1]) == 2


def test_files_of_the_server_in_a_new_process_are_known() -> None:
    (known,), nothing = found(use(model_pid=3, files=43))
    assert "up to 43: llm" in known and nothing == []


def scenario(name: str) -> Scenario:
    return Scenario(name, f"{name} is done", lambda site: Finding(""))


def test_faults_done_again_replace_their_rows_only(tmp_path: Path) -> None:
    every = [scenario(name) for name in ("a", "b", "c")]
    old = {"a": Finding("1 × answer", leaks=("x",)), "c": Finding("c", error_s=1.5)}
    results.save(tmp_path / "r.json", old)
    assert results.load(tmp_path / "r.json") == old
    rows = results.merged([(every[0], Finding("2 × answer"))], old, every)
    assert [(s.name, f.seen, f.verdict) for s, f in rows] == [
        ("a", "2 × answer", "ok"),
        ("c", "c", "ok"),
    ]
    text = page(rows, Provenance("it", "here", "abc", 2.0), ["a"])
    assert "**2 faults: 2 ok.**" in text and "the run of `a`; the other rows are older." in text
    assert "Newer" not in page(rows, Provenance("it", "here", "abc", 2.0))
    assert "Newer" not in page(rows, Provenance("it", "here", "abc", 2.0), ["a", "c"])


def test_faults_that_differ_in_the_model_share_a_row() -> None:
    def kill(
        model: str, error_s: float, *known: str, faults: tuple[str, ...] = ()
    ) -> tuple[Scenario, Finding]:
        done = f"`kill -9` of `{model}`'s process"
        finding = Finding(f"{model}'s errors", error_s, known=known, faults=faults)
        return Scenario(f"kill-{model}", done, lambda _: finding), finding

    found = [
        kill("tokenizer", 1.0, "35 threads; inherited files, up to 28: tokenizer"),
        kill("embedder", 2.5, "36 threads; inherited files, up to 9: embedder"),
        kill("llm", 1.0),
        kill("answer", 1.0, faults=("hung",)),
    ]
    text = page(found, Provenance("it", "here", "abc", 2.0))
    alike, *rest = [line for line in text.splitlines() if line.startswith("| `")]
    assert alike.startswith("| `kill-tokenizer`, `kill-embedder` | `kill -9` of its process | ")
    assert "`kill-embedder`: embedder's errors | 1.0 to 2.5 s | – | 36 threads" in alike
    assert [line.split("|")[1].strip() for line in rest] == ["`kill-llm`", "`kill-answer`"]
    assert "`kill -9` of `llm`'s process | llm's errors | 1.0 s" in rest[0]
    assert "**4 faults: 1 ok, 2 known, 1 FAILED.**" in text
