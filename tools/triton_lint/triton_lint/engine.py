"""The linter: reads a repository, applies every rule, sorts what they find."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from triton_lint.catalogue import BY_ID, RULES
from triton_lint.findings import Finding, Problem, Summary
from triton_lint.folders import model_folders, other_folders
from triton_lint.models import Model, read_model
from triton_lint.options import Options
from triton_lint.repository import Repository
from triton_lint.rule import Rule
from triton_lint.unknown_fields import Doubtful

_ACTIVE = tuple(rule for rule in RULES if rule.check is not None)


@dataclass(frozen=True)
class Report:
    """What was found, in stable order."""

    repository: Repository
    findings: tuple[Finding, ...]

    @property
    def summary(self) -> Summary:
        return Summary.of(self.findings, len(self.repository.models))

    @classmethod
    def merged(cls, reports: "Sequence[Report]") -> "Report":
        """What several readings of one repository found; each finding once."""
        found = {finding for report in reports for finding in report.findings}
        return cls(reports[0].repository, _sorted(found))

    def without(self, rules: Sequence[str]) -> "Report":
        kept = tuple(finding for finding in self.findings if finding.rule not in rules)
        return Report(self.repository, kept)


def lint(paths: Sequence[str], options: Options | None = None) -> Report:
    """Check the model repositories at `paths` together, as one server would serve them.

    Raises `NotARepository` for a path that is none.
    """
    options = options or Options()
    models: dict[str, Model] = {}
    misplaced: list[Finding] = []
    for place in model_folders(list(paths), options):
        model = read_model(place, options)
        if place.name in models:
            first = models[place.name].place.shown
            problem = Problem(model.at(model.config), f"'{place.name}' is in {first} too", "TRN117")
            misplaced.append(_finding(model, BY_ID["TRN117"], problem))
        models.setdefault(place.name, model)
    repository = Repository(models, options)
    misplaced += [_stray(path, name) for path, name in other_folders(list(paths))]
    findings = {finding for model in models.values() for finding in _check(model, repository)}
    return Report(repository, _sorted(findings | set(misplaced)))


def _sorted(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: finding.order))


def _stray(path: str, name: str) -> Finding:
    rule = BY_ID["TRN118"]
    place = os.path.join(path, name)  # noqa: PTH118 - Path would drop a leading './'
    text = f"'{name}' holds no model; Triton's default mode tries to load it and does not start"
    return Finding(place, 1, 1, rule.id, rule.severity, name, text, 1, 1)


def _check(model: Model, repository: Repository) -> Iterator[Finding]:
    for problem in model.reading_problems:
        yield _finding(model, BY_ID[problem.rule], problem)
    if model.is_readable:
        for rule in _ACTIVE:
            if rule.id not in model.ignored:
                for problem in _apply(rule, model, repository):
                    yield _finding(model, rule, problem)


def _apply(rule: Rule, model: Model, repository: Repository) -> Iterator[Problem]:
    """What a rule finds before it asks for something that a fault in a text keeps from being known.

    Where that is in another model, or in a tensor that is judged by itself, the rule is tried again
    without such models or tensors.
    """
    assert rule.check is not None
    try:
        yield from rule.check(model, repository)
    except Doubtful:
        if rule.each_alone:
            model = replace(model, config=model.config.without_harmed())
        with suppress(Doubtful):
            yield from rule.check(model, repository.sound)


def _finding(model: Model, rule: Rule, problem: Problem) -> Finding:
    places = model.places
    if problem.file and model.python is not None:
        places = model.python.places
    line, column = places.line_and_column(problem.at.start)
    end_line, end_column = places.line_and_column(problem.at.end)
    return Finding(
        path=os.path.join(model.place.shown, problem.file or model.place.config_path),  # noqa: PTH118
        line=line,
        column=column,
        rule=rule.id,
        severity=problem.severity or rule.severity,
        model=model.name,
        text=problem.text,
        end_line=end_line,
        end_column=end_column,
        at=problem.at,
        replacement=problem.replacement,
    )
