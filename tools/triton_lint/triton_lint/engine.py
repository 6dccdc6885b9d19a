"""The linter: reads a repository, applies every rule, sorts what they find."""

import os
import pkgutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module

from triton_lint import rules
from triton_lint.findings import Finding, Problem, Summary
from triton_lint.folders import check_repository, config_names, models_and_strays
from triton_lint.models import Model, Options, read_model
from triton_lint.repository import Repository
from triton_lint.rule import Rule
from triton_lint.rules import files, text_format


def _rules() -> Iterator[Rule]:
    """Rules made by `@check`, and those that are found while files and folders are read."""
    for found in pkgutil.iter_modules(rules.__path__, f"{rules.__name__}."):
        module = import_module(found.name)
        yield from (each for each in vars(module).values() if isinstance(each, Rule))
    yield from text_format.READING_RULES
    yield from files.FOLDER_RULES


RULES = tuple(sorted(_rules(), key=lambda rule: rule.id))

BY_ID = {rule.id: rule for rule in RULES}


@dataclass(frozen=True)
class Report:
    """What was found, in stable order."""

    models: int
    findings: tuple[Finding, ...]

    @property
    def summary(self) -> Summary:
        return Summary.of(self.findings, self.models)

    def without(self, rules: Collection[str]) -> "Report":
        kept = tuple(finding for finding in self.findings if finding.rule not in rules)
        return Report(self.models, kept)


def lint(paths: Sequence[str], options: Options | None = None) -> Report:
    """Check the repositories at `paths` together, as one server would serve them.

    Every `configs/NAME.pbtxt` is checked as with `--model-config-name=NAME`, beside `config.pbtxt`.
    Raises `NotARepository` for a path that is none.
    """
    for path in paths:
        check_repository(path)
    options = options or Options()
    found: set[Finding] = set()
    for name in ("", *config_names(paths)):
        models, faults = _read(paths, replace(options, model_config_name=name))
        repository = Repository(models, options)
        found |= faults
        for model in models.values():
            found |= set(_check(model, repository))
    return Report(len(models), tuple(sorted(found, key=lambda finding: finding.order)))


def _read(paths: Sequence[str], options: Options) -> tuple[dict[str, Model], set[Finding]]:
    """The models of all repositories by name, and what is wrong with their folders."""
    models: dict[str, Model] = {}
    found: set[Finding] = set()
    for path in paths:
        places, strays = models_and_strays(path, options.model_config_name)
        for place in places:
            model = read_model(place, options)
            if place.name in models:
                first = models[place.name].place.shown
                problem = Problem(model.at(model.config), f"'{place.name}' is in {first} too")
                found.add(_finding(model, BY_ID["TRN117"], problem))
            models.setdefault(place.name, model)
        found |= {_stray(path, *each) for each in strays}
    return models, found


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
    line, column = places.line_and_column(problem.at.start)
    return Finding(
        path=model.place.shown_path(model.place.config_path),
        line=line,
        column=column,
        rule=rule.id,
        severity=problem.severity or rule.severity,
        model=model.name,
        text=problem.text,
        end_line=places.line_and_column(problem.at.end)[0],
    )
