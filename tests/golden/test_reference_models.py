"""The page on the reference models says what the evaluations beside their weights say."""

from builders.reference.report import llm_table
from builders.spec import ROOT


def test_the_page_has_the_figures_of_the_shipped_llm():
    assert llm_table() in (ROOT / "docs" / "reference-models.md").read_text()
