"""Every rule against its own examples; our repository against every rule."""

from pathlib import Path

import pytest
from triton_lint.catalogue import RULES
from triton_lint.engine import lint
from triton_lint.findings import Finding, Severity
from triton_lint.options import Options
from triton_lint.rule import Example, Rule, no_check
from triton_lint.versions import NEWEST, Version

from builders.repository import REPOSITORY
from builders.spec import ROOT
from tools.triton_lint.tests.corpus import Case
from tools.triton_lint.tests.render import stale

ELSEWHERE = ("TRN012", "TRN117", "TRN118")
"""A large file, two repositories, a folder without a model: tested in test_lint_command."""

KNOWN = ("TRN602", "TRN652")
"""No bound on the encoders' queues (docs/decisions/0017); `rag` can't be cancelled, as README and
docs say, who offer `rag_cancellable`."""

SKUS = sorted(path.stem for path in (ROOT / "builders" / "skus").glob("*.toml"))


def findings(example: Example, folder: Path) -> tuple[Finding, ...]:
    Case("", example.all_files()).write(folder)
    triton = Version.parse(example.triton) if example.triton else NEWEST
    options = Options(triton=triton, gpus=example.gpus, auto_complete=example.auto_complete)
    return lint([str(folder)], options).findings


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_bad_example_is_reported(rule: Rule, tmp_path: Path) -> None:
    if rule.id in ELSEWHERE:
        return
    (tmp_path / "r").mkdir()
    found = [each for each in findings(rule.bad, tmp_path / "r") if each.rule == rule.id]
    assert found, rule.id
    for finding in found:
        assert finding.severity is rule.severity
        assert finding.line >= 1
        assert finding.column >= 1
        assert Path(finding.path).name in ("config.pbtxt", "model.py")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_good_example_has_no_errors(rule: Rule, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    found = findings(rule.good, tmp_path / "r")
    assert not [each for each in found if each.rule == rule.id]
    assert not [each for each in found if each.severity is Severity.ERROR]


def test_rules_are_documented_and_distinct() -> None:
    ids = [rule.id for rule in RULES]
    assert len(set(ids)) == len(ids)
    for rule in RULES:
        assert rule.why.strip()
        assert rule.title[0].islower() or rule.title[0].isupper()
        assert not rule.title.endswith(".")
    checks = [rule.check for rule in RULES if rule.check is not no_check]
    assert len(set(checks)) == len(checks)


def test_pages_are_fresh() -> None:
    assert stale() == []


@pytest.mark.parametrize("sku", SKUS)
def test_our_repository_is_clean(sku: str) -> None:
    options = Options(
        model_config_name=sku, gpus=0 if sku == "cpu" else None, check_files=sku == "cpu"
    )
    found = lint([str(REPOSITORY)], options).without(KNOWN).findings
    assert found == ()


def test_our_repository_is_clean_for_the_server_at_hand() -> None:
    options = Options(triton=Version(2, 51), model_config_name="cpu", auto_complete=False, gpus=0)
    assert lint([str(REPOSITORY)], options).without(KNOWN).findings == ()
