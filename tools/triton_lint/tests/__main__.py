"""`make bench-lint`: the linter's verdicts against the real server's, over the corpus."""

import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click
from triton_lint.engine import lint
from triton_lint.findings import Finding, Severity
from triton_lint.folders import NotARepository

from tools.triton_lint.tests.corpus import Case, all_cases
from tools.triton_lint.tests.oracle import Oracle, Verdict
from tools.triton_lint.tests.reasons import is_left_to_triton, reason


@dataclass(frozen=True)
class Comparison:
    """One repository, judged by both."""

    case: Case
    server: Verdict
    errors: tuple[Finding, ...]

    @property
    def agrees(self) -> bool:
        """Whether both accept or both refuse, or Triton alone names what is wrong."""
        return self.server.accepted == (not self.errors) or self.is_left_to_triton

    @property
    def is_left_to_triton(self) -> bool:
        return not self.errors and is_left_to_triton(self.server.refused.values())


@click.command(context_settings={"show_default": True})
@click.option("--only", default="", help="Cases whose label contains this.")
@click.option("--target", type=click.FloatRange(0, 1), default=0.98, help="Agreement to reach.")
def main(only: str, target: float) -> None:
    """Print precision, recall and every disagreement of the linter and the server.

    Exit status: 0 the agreement is reached, 1 it is not, 2 wrong usage.
    """
    cases = [case for case in all_cases() if only in case.label]
    start_s = time.monotonic()
    with Oracle() as oracle:
        found = [_compare(case, oracle) for case in cases]
    agreement = _print(found, time.monotonic() - start_s)
    raise click.exceptions.Exit(0 if agreement >= target else 1)


def _compare(case: Case, oracle: Oracle) -> Comparison:
    with tempfile.TemporaryDirectory(prefix="lint-case-") as name:
        case.write(Path(name))
        return Comparison(case, oracle.judge(Path(name)), errors(Path(name)))


def errors(repository: Path) -> tuple[Finding, ...]:
    """What the linter says that this server refuses."""
    try:
        found = lint([str(repository)]).findings
    except NotARepository as error:
        return (Finding(str(repository), 1, 1, "-", Severity.ERROR, "", str(error)),)
    return tuple(each for each in found if each.severity is Severity.ERROR)


def _print(found: list[Comparison], seconds: float) -> float:
    left = sum(each.is_left_to_triton for each in found)
    judged = [each for each in found if not each.is_left_to_triton]
    counts = Counter((each.server.accepted, not each.errors) for each in judged)
    right, missed, wrong = counts[False, False], counts[False, True], counts[True, False]
    _print_disagreements(each for each in found if not each.agrees)
    agreement = 1 - (missed + wrong) / max(len(judged), 1)
    print(
        f"{len(found)} repositories in {seconds:.0f} s; the server refuses {right + missed + left}"
    )
    print(f"{left} refusals are left to Triton, whose words name the fault")
    print(f"precision {right / max(right + wrong, 1):.2%} ({wrong} wrong errors)")
    print(f"recall    {right / max(right + missed, 1):.2%} ({missed} missed)")
    unknown = sum(not each.agrees and not reason(each.case.label) for each in found)
    print(f"agreement {agreement:.2%}; {unknown} disagreements without a known reason")
    return agreement


def _print_disagreements(found: Iterable[Comparison]) -> None:
    for each in found:
        if each.server.accepted:
            said = "; ".join(f"{error.rule} {error.text}" for error in each.errors)
            _print_one("WRONG ", each.case.label, f"the server accepts, we say: {said}")
        else:
            said = "; ".join(f"{name}: {why[:300]}" for name, why in each.server.refused.items())
            _print_one("MISSED", each.case.label, said)


def _print_one(kind: str, label: str, said: str) -> None:
    print(f"{kind} {label}: {said}")
    print(f"       reason: {reason(label) or 'NOT KNOWN'}")


if __name__ == "__main__":
    main()
