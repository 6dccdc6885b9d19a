"""Every rule against its own examples; our repository against every rule."""

import re
from pathlib import Path

import pytest
from made_repositories import rules, run, write
from triton_lint.engine import BY_ID, RULES, lint
from triton_lint.findings import Finding, Severity
from triton_lint.models import Options
from triton_lint.rule import PAGES, Rule

from builders.repository import REPOSITORY
from tools.triton_lint.tests.corpus import Case
from tools.triton_lint.tests.examples import Example, examples, origin

ELSEWHERE = ("TRN012", "TRN117", "TRN118")
"""A large file, two repositories, a folder without a model: tested in test_lint_command."""


def findings(example: Example, folder: Path) -> tuple[Finding, ...]:
    Case("", example.files).write(folder)
    return lint([str(folder)], example.options).findings


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_reported_example(rule: Rule, tmp_path: Path) -> None:
    if rule.id in ELSEWHERE:
        return
    found = [each for each in findings(examples(rule.id)[0], tmp_path) if each.rule == rule.id]
    assert found, rule.id
    for finding in found:
        assert finding.severity is rule.severity
        assert finding.line >= 1
        assert finding.column >= 1
        assert Path(finding.path).name == "config.pbtxt"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_example_that_is_not_reported(rule: Rule, tmp_path: Path) -> None:
    found = findings(examples(rule.id)[1], tmp_path)
    assert not [each for each in found if each.rule == rule.id]
    assert not [each for each in found if each.severity is Severity.ERROR]


def test_every_rule_has_a_page_and_every_page_a_rule() -> None:
    assert len(BY_ID) == len(RULES)
    assert {path.stem for path in PAGES.glob("*.md")} == {*BY_ID, "README"}


def test_the_index_lists_every_rule() -> None:
    rows = [line for line in (PAGES / "README.md").read_text().splitlines() if "](" in line]
    wanted = [f"| [{r.id}]({r.id}.md) | {r.severity.value} | {r.title} |" for r in RULES]
    assert sorted(rows) == sorted(wanted)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_page(rule: Rule) -> None:
    assert rule.page.startswith(f"# {rule.id}: {rule.title}\n")
    does = "refuses" if rule.severity is Severity.ERROR else "loads"
    said = f"{rule.severity.value.capitalize()}: Triton {does} the model."
    assert re.fullmatch(re.escape(said) + r" (Seen on Triton|Source:) [^\n]+\.", origin(rule))
    used = set(re.findall(r"^`([^`]+)`(?:, with escapes)?$", rule.page, re.MULTILINE))
    assert used <= {path for example in examples(rule.id) for path in example.files}


def test_checks_are_distinct() -> None:
    checks = [rule.check for rule in RULES if rule.check is not None]
    assert len(set(checks)) == len(checks)


@pytest.mark.parametrize("auto_complete", [True, False])
def test_our_repository_is_clean(auto_complete: bool) -> None:
    options = Options(auto_complete=auto_complete, check_files=False)
    assert lint([str(REPOSITORY)], options).findings == ()


def test_what_tensorrt_llm_takes_for_unset(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def found(key: str) -> list[str]:
        entry = f'parameters {{ key: "{key}" value {{ string_value: "${{x}}" }} }}\n'
        config.write_text(f'backend: "tensorrtllm"\n{entry}')
        return rules(run(capsys, repository, "--ignore", "TRN114")[1])

    config = write(repository, "m", "") / "config.pbtxt"
    assert found("decoding_mode") == []
    assert found("gpt_model_type") == ["TRN606"]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("class TritonPythonModel:\n    pass\n", ["TRN203"]),
        ("class TritonPythonModel(Base):\n    pass\n", []),
        ("class TritonPythonModel:\n    def auto_complete_config(config): ...\n", []),
        ("from elsewhere import TritonPythonModel\n", []),
    ],
)
def test_python_code_may_complete_its_configuration(
    code: str, found: list[str], repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = 'backend: "python"\ninput { name: "a" data_type: TYPE_FP32 }\n'
    (write(repository, "m", config) / "1" / "model.py").write_text(code)
    assert rules(run(capsys, repository)[1]) == found
