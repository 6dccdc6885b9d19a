"""`make check-rules`: rules, their tests, the scrape configuration and a live page by promtool.

`--survey` also runs every query of panels and rules against a running Prometheus that has data of
a real run (that of `make dashboard`), and writes how many series each gave.
"""

import argparse
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from builders.errors import BuildError
from builders.spec import ROOT
from ensembles.metrics import MODEL_METRICS, SUPERVISOR_METRICS
from operations.monitoring.documents import FOLDER
from operations.monitoring.prometheus import Api, PrometheusError, answers, binaries
from operations.monitoring.rule_files import RULES, SCRAPES, TESTS
from operations.monitoring.survey import survey, survey_page


def main(arguments: list[str] | None = None) -> int:
    """0 when all is well, 1 with what is not."""
    options = _parser().parse_args(arguments)
    try:
        if options.survey:
            return _survey(options.survey, options.output)
        return _check(options.pages)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make check-rules", description=__doc__)
    pages = ["127.0.0.1:8002", "127.0.0.1:8003"]
    parser.add_argument("--pages", nargs="*", default=pages, help="HOST:PORT (%(default)s)")
    parser.add_argument("--survey", metavar="URL", help="of a Prometheus")
    parser.add_argument("--output", type=Path, default=FOLDER / "queries.md")
    return parser


def _check(pages: list[str]) -> int:
    promtool = str(binaries().promtool)
    commands = (("check", "rules", RULES), ("check", "config", SCRAPES), ("test", "rules", TESTS))
    failed = [command for command in commands if not _succeeds([promtool, *command])]
    wrong = [fault for page in pages for fault in _page_faults(promtool, page)]
    print("\n".join(wrong))
    return 1 if failed or wrong else 0


def _succeeds(command: list[str]) -> bool:
    print(" ".join(["promtool", *command[1:]]), flush=True)
    return subprocess.run(command, cwd=FOLDER, check=False).returncode == 0


def _page_faults(promtool: str, page: str) -> Iterator[str]:
    """What promtool says of our metrics; Triton's own break Prometheus' conventions by design."""
    url = f"http://{page}/metrics"
    if not answers(url):
        print(f"promtool check metrics: not done, nothing answers at {url}")
        return
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read()
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, check=False
    )
    lines = (done.stderr + done.stdout).decode().splitlines()
    ours = {metric.name for metric in (*MODEL_METRICS, *SUPERVISOR_METRICS)}
    found = [line for line in lines if line.split(" ")[0] in ours or "error" in line]
    print(f"promtool check metrics {url}: {len(found)} faults, {len(lines)} with Triton's own")
    yield from found


def _survey(url: str, output: Path) -> int:
    if not answers(f"{url}/-/ready"):
        raise PrometheusError(
            f"no Prometheus answers at {url}: 'make dashboard' runs one and prints its address"
        )
    found = survey(Api(url))
    output.write_text(survey_page(found))
    empty = [each for each in found.answers if not each.series]
    for each in empty:
        print(f"no series ({each.reason}): {each.user}")
    print(
        f"{len(found.answers)} queries, {len(found.answers) - len(empty)} with series; "
        f"wrote {output.relative_to(ROOT) if output.is_relative_to(ROOT) else output}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
