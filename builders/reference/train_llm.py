"""Train the reference language model from scratch: `python -m builders.reference.train_llm`.

Copying is learned first, on random tokens; then answering, on ever longer lessons. Straight on
the task a model this small stays at a few percent for a quarter of an hour.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer

from builders.reference.llama import Llama, Losses, Shape
from builders.reference.llm_checkpoint import blend_weights, load_weights, save_checkpoint
from builders.reference.llm_data import Batch, lesson_batches, repetition, stack
from builders.reference.llm_text import Size
from builders.reference.llm_tokenizer import train_tokenizer
from builders.reference.muon import Muon

SEED = 11
CHUNK = 8
"""Steps whose data are made together, so that rows of like length can share a batch."""
MUON_RATE, ADAM_RATE = 0.003, 0.002
WARM_UP = 30
DECAY_FROM = 0.6
"""Share of the steps after which the learning rate falls, linearly, to nothing."""
WEIGHTS = {
    "answer": 1.0,
    "copying": 0.5,
    "looking": 0.4,
    "naming": 0.2,
    "valuing": 0.2,
    "passage": 0.2,
    "attribute": 0.3,
}
"""What each part of the loss counts."""


WEAR = 0.1
"""Share of the small words that are lost or spoiled in half of the lessons."""


@dataclass(frozen=True)
class Stage:
    """A part of the curriculum, up to a share of all steps, with about `tokens` tokens a step.

    `size` None means repetition.
    """

    until: float
    tokens: int
    size: Size | None
    questions: int = 6


STAGES = (
    Stage(0.16, 2000, None),
    Stage(0.34, 3000, Size((1, 1, 2, 2), prose_share=0.1, wear=WEAR), 5),
    Stage(0.92, 6000, Size(wear=WEAR), 8),
    Stage(1.0, 8000, Size((2, 3, 4, 4, 5, 5), prose_share=0.4, prose_length=5, wear=WEAR), 8),
)


LATER_UNANSWERABLE = 0.22
"""To say that the sources do not tell is learned last, so a later run sees more of it."""

LATER = (
    Stage(0.75, 6000, Size(wear=WEAR, unanswerable=LATER_UNANSWERABLE), 8),
    Stage(
        1.0,
        8000,
        Size((2, 3, 4, 4, 5, 5), 0.4, 5, wear=WEAR, unanswerable=LATER_UNANSWERABLE),
        8,
    ),
)
"""The curriculum of a run that goes on from a checkpoint."""

LATER_STEP = 100_000
"""Times the number of such a run, added to its steps: its lessons are new."""


LATER_SHARE = 0.8
"""Such a run ends in a mean of the weights it began with and those it reached, this much of the
latter unless told otherwise: that keeps what it gained on phrasings it saw and more of what it had
on others."""


def _repetitions(step: int, tokens: int) -> list[Batch]:
    """One chunk of batches of repeated random tokens, 8 to 40 tokens long."""
    rng = Random(f"repetition/{step}")
    lengths = [rng.randrange(8, 40) for _ in range(CHUNK)]
    return [stack([repetition(rng, n) for _ in range(tokens // (2 * n))]) for n in lengths]


def _made(tokenizer: Tokenizer, stage: Stage, step: int) -> list[Batch]:
    """One chunk of batches; the step is its seed."""
    if stage.size is None:
        return _repetitions(step, stage.tokens)
    sizes = {"questions": stage.questions, "tokens": stage.tokens, "count": CHUNK}
    return lesson_batches(tokenizer, f"{SEED}/{step}", stage.size, **sizes)


def batches(
    tokenizer: Tokenizer, steps: int, stages: Sequence[Stage] = STAGES, first: int = 0
) -> Iterator[Batch]:
    """`steps` batches, following the curriculum; `first` is the seed of the first."""
    step = 0
    while step < steps:
        stage = next(stage for stage in stages if step < stage.until * steps)
        made = _made(tokenizer, stage, first + step)
        for batch in made[: steps - step]:
            yield batch
            step += 1


def _optimizers(model: Llama) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for embedding, norms and probe."""
    matrices = [p for p in model.layers.parameters() if p.ndim == 2]
    inside = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in inside]
    muon = Muon(matrices, MUON_RATE, weight_decay=0.1)
    return [muon, torch.optim.AdamW(rest, ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0)]


def _rate(step: int, steps: int) -> float:
    """Learning rate as a share of its peak: warm-up, level, linear decay."""
    falling = (steps - step) / (steps * (1 - DECAY_FROM))
    return min(1.0, (step + 1) / WARM_UP, falling)


def _learn(model: Llama, batch: Batch, optimizers: list[torch.optim.Optimizer]) -> Losses:
    """One step of training."""
    losses: Losses = model(batch)
    total = sum(weight * getattr(losses, name) for name, weight in WEIGHTS.items())
    total.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return losses


def _line(step: int, steps: int, seconds: float, losses: Losses) -> str:
    parts = "  ".join(f"{name} {getattr(losses, name).item():.3f}" for name in WEIGHTS)
    return f"step {step:5}/{steps}  {seconds:6.0f} s  right {losses.accuracy:6.1%}  {parts}"


def train(
    folder: Path,
    steps: int,
    save_every: int,
    resume: Path | None = None,
    later: int = 1,
    share: float = LATER_SHARE,
) -> None:
    """Train for `steps` steps and write the checkpoint and its training.log to `folder`.

    `resume` is a checkpoint to go on from, with the learning rate at its peak again; `later` says
    the how manieth such run it is, `share` how much of the weights it reaches is in the mean.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    tokenizer = train_tokenizer()
    model = Llama(Shape())
    data = batches(tokenizer, steps)
    earlier = ""
    if resume:
        load_weights(model, resume)
        data = batches(tokenizer, steps, LATER, later * LATER_STEP)
        earlier = (resume / "training.log").read_text(encoding="utf-8") + "resumed\n"
    optimizers = _optimizers(model)
    begin = time.monotonic()
    with (folder / "training.log").open("w", buffering=1, encoding="utf-8") as log:
        log.write(earlier)
        for step, batch in enumerate(data, start=1):
            for optimizer, peak in zip(optimizers, (MUON_RATE, ADAM_RATE), strict=True):
                optimizer.param_groups[0]["lr"] = peak * _rate(step - 1, steps)
            losses = _learn(model, batch, optimizers)
            if step % 20 == 0 or step == steps:
                line = _line(step, steps, time.monotonic() - begin, losses)
                print(line, flush=True)
                log.write(line + "\n")
            if step % save_every == 0 or step == steps:
                save_checkpoint(model, tokenizer, folder)
    if resume:
        blend_weights(resume, folder, share)
        with (folder / "training.log").open("a", encoding="utf-8") as log:
            log.write(f"mean of both runs: {share} of this one, the rest of the first\n")


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument(
        "--steps",
        type=int,
        default=3000,
        help="steps over which curriculum and learning rate are laid out (default: %(default)s)",
    )
    parser.add_argument("--resume", type=Path, help="checkpoint to go on from")
    parser.add_argument(
        "--later", type=int, default=1, help="number of the resumed run: seeds its lessons"
    )
    parser.add_argument(
        "--share",
        type=float,
        default=LATER_SHARE,
        help="what a resumed run reached, in the mean it ends in (default: %(default)s)",
    )
    parser.add_argument("--save-every", type=int, default=200, help="steps between checkpoints")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: 1)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(
        arguments.output,
        arguments.steps,
        arguments.save_every,
        arguments.resume,
        arguments.later,
        arguments.share,
    )


if __name__ == "__main__":
    main()
