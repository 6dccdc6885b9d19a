"""What the reference implementation computes from an encoder, and whether an engine agrees.

Embedders, and rerankers with a chat template, are compared with sentence-transformers, other
rerankers with transformers: in FP32 and row by row, so that padding has no influence. The engine
computes the same rows alone and together.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from builders.checkpoint import Checkpoint, Facts
from builders.encoder_models import load_classifier, load_embedder
from builders.engine_trial import ASKED_FILE, QUERY
from builders.errors import refusing
from builders.llm_checkpoint import read_tokenizer
from builders.llm_reference import SENTENCE, agreement, check_rows, silence_transformers
from builders.spec import ModelSpec, Role

Rows = npt.NDArray[np.float32]

LEAST_COSINE = {"fp32": 0.9999, "fp16": 0.999}
MOST_LOGIT = {"fp32": 0.001, "fp16": 0.02}
"""Largest allowed distance of a logit, by precision of the weights: a share of the largest absolute
logit, or of 1 if that is smaller."""


def sample_texts(max_tokens: int) -> list[str]:
    """Texts of several scripts and lengths; the last one is longer than `max_tokens`.

    Two of them differ a little in length, so that they share a batch, one of them padded.
    """
    long = " ".join(SENTENCE.format(n=n, m=n % 9) for n in range(max(4, max_tokens // 8)))
    return [
        "hello",
        "The gateway LISTENS on port 8123.",
        "東京の天気は晴れです。 Le navire part à midi.",
        " ".join(SENTENCE.format(n=n, m=n) for n in range(3)),
        " ".join(SENTENCE.format(n=n, m=n) for n in range(3)) + " All are closed at noon.",
        long,
    ]


def write_reference(spec: ModelSpec, checkpoint: Checkpoint, facts: Facts, to: Path) -> None:
    """Write texts and the reference's rows of them; raises `BuildError` for missing weights."""
    texts = sample_texts(facts.max_tokens)
    if facts.pair_text.before_query.strip():  # a template with the passage first
        texts.pop()  # sentence-transformers cuts off a long text's end, and so the query
    compute = _embeddings if spec.role == "embedder" else _logits
    (to / ASKED_FILE).write_text(json.dumps(texts), encoding="utf-8")
    np.save(to / "rows.npy", compute(spec, checkpoint, facts, texts))


def _embeddings(
    spec: ModelSpec, checkpoint: Checkpoint, facts: Facts, texts: Sequence[str]
) -> Rows:
    """Embeddings of the texts with the input type text, then query, then passage."""
    model = load_embedder(spec, checkpoint, torch.float32)
    model.max_seq_length = facts.max_tokens
    said, most = facts.prefixes, model.get_embedding_dimension()
    if most and facts.dimensions > most:
        raise spec.error(
            f"dimensions {facts.dimensions} in its spec, and its embeddings have {most}"
        )
    cut: dict[str, Any] = (
        {"truncate_dim": facts.dimensions, "normalize_embeddings": True} if facts.dimensions else {}
    )
    with refusing(spec, "sentence-transformers can't embed with it"):
        parts = [
            model.encode(list(texts), batch_size=1, prompt=prefix, show_progress_bar=False, **cut)
            for prefix in (said.text, said.query, said.passage)
        ]
    rows: Rows = np.concatenate(parts).astype(np.float32)
    check_rows(spec, model, rows)
    return rows


def _logits(spec: ModelSpec, checkpoint: Checkpoint, facts: Facts, texts: Sequence[str]) -> Rows:
    if checkpoint.has_chat_template():
        return _templated_logits(spec, checkpoint, facts, texts)
    classifier = load_classifier(spec, checkpoint, torch.float32)
    tokenizer = read_tokenizer(checkpoint)
    tokenizer.no_padding()
    tokenizer.enable_truncation(facts.max_tokens, strategy="only_second")
    has_types = int(checkpoint.config().get("type_vocab_size") or 0) > 1
    rows = []
    for text in texts:
        pair = tokenizer.encode(QUERY, text)
        named = {"input_ids": torch.tensor([pair.ids])}
        if has_types:
            named["token_type_ids"] = torch.tensor([pair.type_ids])
        with torch.no_grad():
            logits = classifier(attention_mask=torch.ones_like(named["input_ids"]), **named).logits
        rows.append(logits[0].float().numpy())
    check_rows(spec, classifier, np.stack(rows))
    return np.stack(rows).astype(np.float32)


def _templated_logits(
    spec: ModelSpec, checkpoint: Checkpoint, facts: Facts, texts: Sequence[str]
) -> Rows:
    """Logits by sentence-transformers, which puts the chat template around each pair."""
    from sentence_transformers import CrossEncoder

    silence_transformers()
    with refusing(spec, "sentence-transformers can't score pairs with it"):
        model = CrossEncoder(
            str(checkpoint.path),
            device="cpu",
            local_files_only=True,
            max_length=facts.max_tokens,
            model_kwargs={"attn_implementation": "eager", "dtype": torch.float32},
        )
        found = model.predict(
            [(QUERY, text) for text in texts], batch_size=1, activation_fn=torch.nn.Identity()
        )
    rows: Rows = np.asarray(found, np.float32).reshape(len(texts), 1)
    check_rows(spec, model, rows)
    return rows


def compare(spec: ModelSpec, folder: Path, found: Mapping[str, Any], precision: str) -> str:
    """What was compared, for the manifest; raises `BuildError` when the engine disagrees."""
    wanted: Rows = np.load(folder / "rows.npy")
    measured = {
        how: _distance(spec.role, wanted, np.array(rows, np.float32)) for how, rows in found.items()
    }
    what = f"{len(wanted)} rows"
    if spec.role != "embedder":
        return agreement(spec, what, measured, MOST_LOGIT[precision], "logit")
    most = 1 - LEAST_COSINE[precision]
    return agreement(spec, what, measured, most, "1 - cosine, and its length")


def _distance(role: Role, wanted: Rows, found: Rows) -> float:
    if wanted.shape != found.shape or not np.isfinite(found).all():
        return float("inf")
    if role != "embedder":
        return float(np.abs(wanted - found).max() / max(1.0, float(np.abs(wanted).max())))
    lengths = np.linalg.norm(wanted, axis=1), np.linalg.norm(found, axis=1)
    cosines = (wanted * found).sum(1) / (lengths[0] * lengths[1])
    return float(max((1 - cosines).max(), np.abs(lengths[1] / lengths[0] - 1).max() / 10))
