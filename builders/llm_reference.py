"""What transformers computes from an LLM's checkpoint, and whether an engine agrees with it.

Greedy tokens can differ though both are right, if two logits differ by less than rounding errors.
So an engine agrees if, at the first token that differs, its choice is nearly as good in
transformers' own logits. The measure is the distance of its logit to the best one, as a share of
the distance from the best logit to the mean: 0 is the same choice, about 1 a random one.
"""

import inspect
import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from builders.checkpoint import Checkpoint
from builders.engine_trial import ASKED_FILE, NEW_TOKENS
from builders.errors import refusing
from builders.llm_checkpoint import read_tokenizer
from builders.spec import ModelSpec, Precision

Logits = npt.NDArray[np.float32]

CANT_LOAD = f"transformers {transformers.__version__} can't load it; is its config.json whole?"

LONGEST_TOKENS = 512
"""The longest prompt fills the model's `max_tokens`, up to here: it must not take minutes."""

TOLERANCES: dict[Precision, float] = {"fp32": 0.01, "bf16": 0.1, "int8": 0.2, "int4": 0.5}
"""Largest measure that agrees, by precision of the engine's weights; transformers computes in
FP32."""

TEXTS = (
    "hello",
    "The capital of France is",
    "Vebra LISTENS on Port 8123.",
    "東京の天気は晴れです。 Le navire part à midi.",
    "def area(width: float, height: float) -> float:\n    return",
)
SENTENCE = "Pump P{n} of hall {m} has a limit of {n}.{m} bar and is checked every {n} days."


def write_reference(spec: ModelSpec, checkpoint: Checkpoint, to: Path) -> None:
    """Write some prompts and the logits after them. Raises `BuildError` for missing weights."""
    prompts = _prompts(spec, checkpoint)
    model, _ = load_whole(spec, checkpoint, transformers.AutoModelForCausalLM, torch.float32)
    answers = [_greedy(model, prompt) for prompt in prompts]
    check_rows(spec, model, np.concatenate(answers))
    (to / ASKED_FILE).write_text(json.dumps(prompts), encoding="utf-8")
    np.savez(to / "logits.npz", *answers)


def _prompts(spec: ModelSpec, checkpoint: Checkpoint) -> list[list[int]]:
    tokenizer = read_tokenizer(checkpoint)
    room = spec.max_tokens - NEW_TOKENS
    longest = min(room, LONGEST_TOKENS)
    text = " ".join(SENTENCE.format(n=n, m=n % 9) for n in range(longest))
    prompts = [tokenizer.encode(text).ids[:room] for text in TEXTS]
    return [*filter(None, prompts), tokenizer.encode(text).ids[:longest]]


def load_whole(
    spec: ModelSpec, checkpoint: Checkpoint, kind: Any, dtype: Any, **options: Any
) -> tuple[Any, list[str]]:
    """transformers' model, and the weights it leaves out; raises `BuildError` for missing ones."""
    silence_transformers()
    with refusing(spec, CANT_LOAD):
        model, found = kind.from_pretrained(
            checkpoint.path,
            dtype=dtype,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **options,
        )
    if spec.role == "embedder":  # none uses a pooler, which a DeBERTa reranker does
        used = [key for key in found["missing_keys"] if not key.startswith("pooler.")]
        found = {**found, "missing_keys": used}
    # An encoder's are not checked further: older ones hold masks beside the weights (GPT-Neo).
    layers = getattr(model.config, "num_hidden_layers", None) if spec.role == "llm" else None
    check_weights(spec, found, layers)
    return model.eval(), found["unexpected_keys"]


def silence_transformers() -> None:
    """Silences transformers' warnings and progress bars, which are for its direct users."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def check_rows(spec: ModelSpec, model: Any, rows: Logits) -> None:
    """Raises `BuildError` for rows that prove nothing: NaN (an engine would agree) or all equal."""
    if not np.isfinite(rows).all():
        wrong = [name for name, w in model.named_parameters() if not bool(w.isfinite().all())]
        why = f"{_some(wrong)} of the checkpoint have" if wrong else "what it computes has"
        raise spec.error(f"{why} values that are no finite numbers (NaN, Inf); copy it again")
    if float(np.ptp(rows)) == 0.0:
        raise spec.error(
            "it computes the same from every text, so its weights are not trained ones"
        )


def check_weights(spec: ModelSpec, found: Mapping[str, Any], layers: int | None = None) -> None:
    """Raises `BuildError` for weights that transformers replaces by random ones, or leaves out.

    `found` is the loading info of its `from_pretrained`. What lies outside the model's `layers` may
    be left out: another task's head, layers that predict more tokens.
    """
    unknown = sorted(found["unexpected_keys"])
    more = f"; it has unknown ones: {_some(unknown)}" if unknown else ""
    if missing := sorted(found["missing_keys"]):
        raise spec.error(
            f"the checkpoint lacks {_some(missing)}, which the model of its config.json needs{more}"
        )
    if other := sorted(key if isinstance(key, str) else key[0] for key in found["mismatched_keys"]):
        raise spec.error(
            f"{_some(other)} of the checkpoint have another shape than its config.json says"
        )
    if unused := [name for name in unknown if _layer(name) < (layers or 0)]:
        raise spec.error(
            f"the checkpoint has {_some(unused)}, which the model of its config.json would leave "
            "out; is its model_type right, and a copy of its config whole?"
        )


def _layer(name: str) -> float:
    """The number of the layer that a weight is in; infinite for those in none."""
    found = re.search(r"(?:^|\.)(?:layers|h)\.(\d+)\..*(?:weight|bias)(?:_scale(?:_inv)?)?$", name)
    return int(found[1]) if found else math.inf


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _greedy(model: Any, prompt: Sequence[int]) -> Logits:
    """The logits [NEW_TOKENS, vocabulary] that greedy decoding sees, whatever ends an answer."""
    rows: list[Any] = []
    ids, past = torch.tensor([prompt]), None
    has_option = "logits_to_keep" in inspect.signature(model.forward).parameters
    options = {"logits_to_keep": 1} if has_option else {}
    with torch.no_grad():
        for _ in range(NEW_TOKENS):
            step = model(ids, past_key_values=past, use_cache=True, **options)
            rows.append(step.logits[0, -1].clone())
            ids, past = rows[-1].argmax().view(1, 1), step.past_key_values
    return np.asarray(torch.stack(rows).numpy(), dtype=np.float32)


def distance(logits: Logits, answer: Sequence[int], ends: Collection[int]) -> float:
    """The module's measure, at the first token of `answer` that is not the greedy one."""
    for row, token in zip(logits, answer, strict=False):
        best, greedy = float(row.max()), int(row.argmax())
        if token != greedy:
            return (best - float(row[token])) / (best - float(row.mean()))
        if greedy in ends:
            return 0.0
    is_whole = len(answer) >= len(logits) or int(logits[len(answer)].argmax()) in ends
    return 0.0 if is_whole else 1.0


def compare(spec: ModelSpec, folder: Path, found: Mapping[str, Any], ends: Collection[int]) -> str:
    """What was compared, for the manifest; raises `BuildError` when the engine disagrees."""
    with np.load(folder / "logits.npz") as arrays:
        logits = list(arrays.values())
    measured = {
        how: max(distance(*pair, ends) for pair in zip(logits, answers, strict=True))
        for how, answers in found.items()
    }
    what, measure = f"greedy tokens of {len(logits)} prompts", "first other token's logit, 0 to 1"
    return agreement(spec, what, measured, TOLERANCES[spec.precision], measure)


def agreement(
    spec: ModelSpec, what: str, measured: Mapping[str, float], most: float, measure: str
) -> str:
    """A sentence on how far off `what` was `measured`; raises `BuildError` for more than `most`."""
    for how, off in measured.items():
        if not off <= most:
            raise spec.error(
                f"{what}, computed {how}, are not what the reference implementation gives: off by "
                f"{off:.2g} ({measure}; {most:.2g} is allowed)"
            )
    return (
        f"{what}, {' and '.join(measured)}, as the reference implementation's within "
        f"{max(measured.values()):.2g} ({measure}; {most:.2g} allowed)"
    )
