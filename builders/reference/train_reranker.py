"""Train the reference reranker: ``python -m builders.reference.train_reranker --help``.

The embeddings, frozen, and the first layers come from all-MiniLM-L6-v2. What was trained goes to
``OUTPUT/trained.safetensors`` as float16, and the printed lines also to ``OUTPUT/training.log``.
"""

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR

from builders.reference.cross_encoder import CrossEncoder
from builders.reference.docstrings import read_passages
from builders.reference.minilm import Embedder, quiet_loading
from builders.reference.rerank_pairs import NEGATIVES, Group, docstring_groups, fact_groups

STEPS = 800
FACT_GROUPS_PER_STEP = 2
DOCSTRING_GROUPS_PER_STEP = 2
LEARNING_RATE = 1e-4
WARM_UP_SHARE = 0.08
LONGEST_GRADIENT = 1.0
REPORT_EVERY = 50
THREADS = 2
SEED = 0


class Progress:
    """Prints lines with the seconds since the start, and keeps them in a log as well."""

    def __init__(self, log: TextIO) -> None:
        self._log = log
        self._start = time.monotonic()

    def say(self, message: str) -> None:
        """One line on the terminal and in the log."""
        line = f"[{time.monotonic() - self._start:5.0f} s] {message}"
        print(line, flush=True)
        print(line, file=self._log, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, train, and write the two files."""
    options = _options(arguments)
    torch.set_num_threads(options.threads)
    quiet_loading()
    torch.manual_seed(SEED)
    options.output.mkdir(parents=True, exist_ok=True)
    with (options.output / "training.log").open("w", encoding="utf-8") as log:
        progress = Progress(log)
        steps = _steps(_docstring_groups(options.minilm, progress), random.Random(SEED))
        encoder = CrossEncoder.untrained(options.minilm)
        train(encoder, steps, options.steps, progress)
        path = options.output / "trained.safetensors"
        path.write_bytes(save(trained_tensors(encoder)))
        progress.say(f"wrote {path}, {path.stat().st_size / 1e6:.2f} MB")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the reference reranker on the CPU.")
    parser.add_argument("--minilm", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--output", type=Path, required=True, help="folder for weights and log")
    parser.add_argument("--steps", type=int, default=STEPS, help="optimizer steps (%(default)s)")
    parser.add_argument("--threads", type=int, default=THREADS, help="for torch (%(default)s)")
    return parser.parse_args(arguments)


def _docstring_groups(minilm_folder: Path, progress: Progress) -> list[Group]:
    passages = [passage for passage in read_passages() if not passage.held_out]
    progress.say(f"looking for close wrong answers among {len(passages)} docstrings")
    groups = docstring_groups(passages, Embedder(minilm_folder), random.Random(SEED))
    progress.say(f"{len(groups)} questions about docstrings are ready")
    return groups


def _steps(docstrings: Sequence[Group], rng: random.Random) -> Iterator[list[Group]]:
    """For each step its groups, without end: fresh facts, and the docstrings in ever new order."""
    waiting: list[Group] = []
    while True:
        if len(waiting) < DOCSTRING_GROUPS_PER_STEP:
            waiting = rng.sample(docstrings, len(docstrings))
        read = [waiting.pop() for _ in range(DOCSTRING_GROUPS_PER_STEP)]
        yield read + fact_groups(FACT_GROUPS_PER_STEP, rng)


def train(
    encoder: CrossEncoder, groups: Iterator[list[Group]], steps: int, progress: Progress
) -> None:
    """Optimise the unfrozen part of ``encoder`` in place."""
    unfrozen = [tensor for tensor in encoder.model.parameters() if tensor.requires_grad]
    optimizer = torch.optim.AdamW(unfrozen, lr=LEARNING_RATE)
    schedule = LambdaLR(optimizer, lambda step: _rate(step / steps))
    losses: list[float] = []
    for step in range(1, steps + 1):
        loss = group_loss(encoder, next(groups))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unfrozen, LONGEST_GRADIENT)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % REPORT_EVERY == 0 or step == steps:
            recent = losses[-REPORT_EVERY:]
            progress.say(f"step {step}/{steps}: loss {sum(recent) / len(recent):.3f}")


def group_loss(encoder: CrossEncoder, groups: Sequence[Group]) -> Tensor:
    """How far the right passage of each group is from certainly the first: one float32."""
    pairs = [pair for group in groups for pair in group.pairs]
    # bfloat16 products take half the time on processors that have them; the weights are float32.
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = encoder.logits(pairs).view(len(groups), 1 + NEGATIVES)
    return cross_entropy(logits, torch.zeros(len(groups), dtype=torch.long))


def _rate(done: float) -> float:
    """The learning rate at the share ``done`` of all steps, relative to its peak."""
    return min(done / WARM_UP_SHARE, (1 - done) / (1 - WARM_UP_SHARE))


def trained_tensors(encoder: CrossEncoder) -> dict[str, Tensor]:
    """What training changed, by its name in the checkpoint, as float16."""
    named = encoder.model.named_parameters()
    return {name: value.detach().half() for name, value in named if value.requires_grad}


if __name__ == "__main__":
    main()
