"""What is shown of a request."""

import pytest
from made_spans import FAILED, real, span
from triton_traces.findings import analyse
from triton_traces.text import encodable, render


def test_text() -> None:
    shown = render(analyse(FAILED), 80)
    assert shown.splitlines()[2].startswith("total 100 ms = queue 25.0 ms (25%)")
    assert "failed: rag › llm, cancelled, 100 ms after the request began" in shown
    assert "50.0 ms  50%  rag › llm" in shown
    assert "25.0 ms  25%  rag itself" in shown
    queue, llm = (
        line for line in shown.splitlines() if line.strip("*! ")[:5] in ("queue", "llm  ")
    )
    assert llm.index("▒") - queue.index("░") == pytest.approx(26, abs=2)  # half of 52 characters
    assert llm.startswith("!")


def test_text_fits_the_width() -> None:
    for width in (60, 80, 200):
        lines = render(analyse(real("rag_cancellable.json")), width).splitlines()
        flame = [line for line in lines if "━" in line and "steps inside" not in line]
        assert max(map(len, flame)) <= width


def test_text_for_a_terminal_without_unicode() -> None:
    shown = render(analyse([*FAILED, span("größe", 60, 70, "llm")]), 80)
    assert encodable(shown, "utf-8") == shown
    assert encodable(shown, "ascii").isascii()
    assert "....." in encodable(shown, "ascii")
    assert "llm > gr??e" in encodable(shown, "ascii")


def test_names_do_not_steer_terminals() -> None:
    found = analyse([span('<b>\x1b[31m\x9b1m"&\udcff', 0, 1)])
    assert '<b>[31m1m"&' in render(found, 80)
