"""The linter: reads a repository, applies every rule, sorts what they find."""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from triton_lint.catalogue import BY_ID, RULES
from triton_lint.findings import Finding, Problem, Summary
from triton_lint.folders import models_and_strays, targets
from triton_lint.models import Model, read_model
from triton_lint.options import Options
from triton_lint.repository import Repository
from triton_lint.rule import Rule


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

    def without(self, rules: Collection[str]) -> "Report":
        kept = tuple(finding for finding in self.findings if finding.rule not in rules)
        return Report(self.repository, kept)


def lint(paths: Sequence[str], options: Options | None = None) -> Report:
    """Check the repositories, models or files at `paths` together, as one server would serve them.

    Of models and files, what is found in these models and in ensembles that call them is reported.
    Raises `NotARepository` for a path that is none.
    """
    options = options or Options()
    models: dict[str, Model] = {}
    found: set[Finding] = set()
    meant: set[str] = set()
    for target in targets(paths):
        places, strays = models_and_strays(target, options.model_config_name)
        for place in places:
            model = read_model(place, options)
            if place.name in models:
                first = models[place.name].place.shown
                problem = Problem(model.at(model.config), f"'{place.name}' is in {first} too")
                found.add(_finding(model, BY_ID["TRN117"], problem))
            models.setdefault(place.name, model)
            meant |= {place.name} if target.means(place.name) else set()
        if not target.models:
            found |= {_stray(target.repository, *each) for each in strays}
    repository = Repository(models, options)
    for model in models.values():
        called = {step.model_name for step in repository.steps(model)}
        if meant & {model.name, *called}:
            found |= set(_check(model, repository))
    return Report(repository, _sorted(found))


def _sorted(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: finding.order))


def _stray(path: str, name: str, why: str) -> Finding:
    rule = BY_ID["TRN118"]
    place = os.path.join(path, name)  # noqa: PTH118 - Path would drop a leading './'
    return Finding(place, 1, 1, rule.id, rule.severity, name, f"'{name}' {why}")


def _check(model: Model, repository: Repository) -> Iterator[Finding]:
    for problem in model.reading_problems:
        yield _finding(model, BY_ID[problem.rule], problem)
    if model.is_readable:
        for rule in RULES:
            if rule.check and rule.id not in model.ignored:
                for problem in rule.check(model, repository):
                    yield _finding(model, rule, problem)


def _finding(model: Model, rule: Rule, problem: Problem) -> Finding:
    places = model.places
    for source in model.pythons if problem.file else ():
        places = source.places if source.file == problem.file else places
    line, column = places.line_and_column(problem.at.start)
    return Finding(
        path=model.place.shown_path(problem.file or model.place.config_path),
        line=line,
        column=column,
        rule=rule.id,
        severity=problem.severity or rule.severity,
        model=model.name,
        text=problem.text,
        end_line=places.line_and_column(problem.at.end)[0],
    )
