"""The live dashboard without a browser or a Prometheus."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from operations.monitoring import check_rules, dashboard, live, prometheus
from operations.monitoring.panels import all_panels
from operations.monitoring.prometheus import Api, PrometheusError, Series, binaries
from operations.monitoring.rows import ROWS
from operations.monitoring.survey import survey, survey_page


class FakeApi(Api):
    """Has one series for each query, with the labels that the query asks for."""

    def __init__(self, empty: bool = False) -> None:
        super().__init__("http://prometheus")
        self.queries: list[str] = []
        self.empty = empty

    def range(self, query: str, start: float, end: float, step_s: float) -> tuple[Series, ...]:
        self.queries.append(query)
        labels = {"model": "llm", "outcome": "ok", "type": "input", "stage": "queue"}
        return () if self.empty else (Series(labels, ((start, 1.0), (end, 2.0))),)

    def get(self, path: str, **parameters: object) -> Any:
        alert = {
            "labels": {"alertname": "ModelDown", "severity": "page"},
            "annotations": {"summary": "llm does not answer", "runbook_url": "x.md#y"},
            "state": "firing",
        }
        target = {"labels": {"job": "a", "instance": "b:1"}, "health": "up", "lastError": ""}
        vector = [{"metric": {"model": "llm"}, "value": [1.0, "1"]}]
        answers: dict[str, Any] = {
            "alerts": {"alerts": [alert]},
            "targets": {"activeTargets": [target]},
            "status/buildinfo": {"version": "2.42.0"},
            "query": {"resultType": "vector", "result": [] if self.empty else vector},
        }
        return answers[path]


VIEW = live.View(span_s=600, window_s=20, scrape_s=2)


def test_a_snapshot_has_every_panel_with_its_series():
    api = FakeApi()
    found = live.snapshot(api, ROWS, VIEW)
    drawn = [panel for row in found.rows for panel in row.panels]
    assert [panel.title for panel in drawn] == [panel.title for panel in all_panels(ROWS)]
    assert all(panel.lines for panel in drawn)
    assert {line.name for panel in drawn for line in panel.lines} >= {"llm", "ok", "queue", "p99"}
    assert (found.alerts[0].name, found.targets[0].address) == ("ModelDown", "b:1")
    assert found.end - found.start == 600
    assert not any("${" in query for query in api.queries)
    json.dumps(found.as_json(), allow_nan=False)


def test_rates_cover_two_points_of_a_long_view():
    api = FakeApi()
    found = live.snapshot(api, ROWS, live.View(7200, 20, 2))
    assert found.step_s == 30
    assert any("[60s]" in query for query in api.queries)


def test_values_that_are_no_number_are_left_out():
    values = [[1, "1"], [2, "NaN"], [3, "+Inf"], [4, "0.5"]]
    assert prometheus._series({}, values).points == ((1.0, 1.0), (4.0, 0.5))


def test_data_in_the_page_can_not_end_its_script():
    text = dashboard.page('{"name": "</script><b>"}')
    assert "</script><b>" not in text
    assert "/*SNAPSHOT*/" not in text
    assert text.count("</script>") == 1
    assert 'src="' not in text, "the page loads nothing"


def test_no_server_is_said_with_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(dashboard, "answers", lambda url: False)
    assert dashboard.main(["--server", "127.0.0.1:9002"]) == 1
    said = capsys.readouterr().err
    assert "no tritonserver answers at http://127.0.0.1:9002/metrics" in said
    assert "make serve" in said


def test_a_missing_supervisor_is_no_target(monkeypatch, capsys):
    monkeypatch.setattr(dashboard, "answers", lambda url: "8002" in url)
    assert dashboard._targets("h:8002", "h:8003") == {"tritonserver": "h:8002"}
    assert "no supervisor answers at http://h:8003/metrics" in capsys.readouterr().out


def test_no_prometheus_for_the_survey_is_said(monkeypatch, capsys):
    monkeypatch.setattr(check_rules, "answers", lambda url: False)
    assert check_rules.main(["--survey", "http://h:1"]) == 1
    assert "no Prometheus answers at http://h:1" in capsys.readouterr().err


def test_survey_lists_what_gave_nothing_and_why():
    page = survey_page(survey(FakeApi(empty=True)))
    assert "Prometheus 2.42.0, 0 of" in page.replace("\n", " ")
    assert "| panel Models up | 0: no supervisor was scraped |" in page
    assert "| panel Served | 0: not on any page: rag_requests_total |" in page
    full = survey(FakeApi())
    assert all(answer.series == 1 and not answer.reason for answer in full.answers)


def fake_program(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_programs_are_taken_from_the_folder_then_from_path(tmp_path, monkeypatch):
    elsewhere, folder = tmp_path / "bin", tmp_path / "tools"
    monkeypatch.setenv("PATH", str(elsewhere))
    for name in ("prometheus", "promtool"):
        fake_program(elsewhere / name)
    assert binaries(folder).promtool == elsewhere / "promtool"
    unpacked = folder / "prometheus" / "usr" / "bin"
    for name in ("prometheus", "promtool"):
        fake_program(unpacked / name)
    assert binaries(folder).promtool == unpacked / "promtool"


@pytest.mark.parametrize("apt", [None, "echo no such package >&2; exit 100"])
def test_without_a_way_to_get_them_it_says_so(tmp_path, monkeypatch, apt):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    if apt:
        fake_program(tmp_path / "bin" / "apt-get", apt)
    with pytest.raises(PrometheusError, match="'apt-get download -q prometheus' failed") as found:
        binaries(tmp_path / "tools")
    assert "Put both programs on PATH" in str(found.value)
    assert ("no such package" in str(found.value)) == bool(apt)
