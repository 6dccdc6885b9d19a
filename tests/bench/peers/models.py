"""What every peer serves: sentence-transformers and transformers, any number of requests at once.

Tuned as one would: no gradients, rows sorted by length and batched by 32, several prompts generated
together with padding on the left, greedy with a KV cache. A question is the same work as on our
server: similarity, words, sentences of the candidates, reranker, reader, prompt.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from ensembles.manifest import read_manifest
from python_backends.generation.chat_template import strict_template
from tests.bench.peers.rankers import Question, load_ranker
from tests.bench.peers.retrieval import Candidates, read
from tests.bench.rag_limits import ANSWER_TOKENS

MAX_BATCH_REQUESTS = {"embed": 32, "rerank": 8, "rag": 8}
"""Requests that a batching peer computes together: about 32 to 64 rows."""

BATCH_WAIT_S = 0.002
"""What a batching peer waits for more requests; ours waits 1 ms a model."""

Kind = Literal["embed", "rerank", "rag"]
KINDS: tuple[Kind, ...] = ("embed", "rerank", "rag")
Json = dict[str, Any]


@dataclass(frozen=True)
class Folders:
    """Hugging Face folders of the models, and our engine of the LLM: its prompt is everybody's."""

    embedder: Path
    reranker: Path
    reader: Path
    llm: Path
    llm_engine: Path

    @staticmethod
    def read() -> "Folders":
        """From the environment, where the benchmark puts them."""
        names = ("EMBEDDER", "RERANKER", "READER", "LLM", "LLM_ENGINE")
        return Folders(*(Path(os.environ[f"BENCH_{name}"]) for name in names))


class Models:
    """All four models in this process, on `threads` threads."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        folders = Folders.read()
        # As our server does: 1.8 times as fast there.
        dtype = torch.bfloat16 if _has_bf16() else torch.float32
        self._embedder = SentenceTransformer(str(folders.embedder), device="cpu").to(dtype)
        self._ranker = load_ranker(folders.reranker, dtype, os.environ["BENCH_ANSWER_WEIGHTS"])
        self._reader = load_ranker(folders.reader, dtype, os.environ["BENCH_READER_WEIGHTS"])
        self._tokenizer = AutoTokenizer.from_pretrained(folders.llm, padding_side="left")
        self._tokenizer.pad_token = self._tokenizer.pad_token or self._tokenizer.eos_token
        # torch 2.13 takes 1.1 s in bf16 for a token of 8 prompts together, and 0.06 s in fp32.
        self._llm = AutoModelForCausalLM.from_pretrained(folders.llm, dtype=torch.float32).eval()
        self._prompt = read_manifest(folders.llm_engine).prompt
        self._user = strict_template(self._prompt.user, "the user template")

    def answer(self, kind: Kind, requests: Sequence[Json]) -> list[Json]:
        """The requests together, an answer to each."""
        with torch.inference_mode():
            match kind:
                case "embed":
                    return self._embed([request["texts"] for request in requests])
                case "rerank":
                    return self._rerank([(r["query"], r["passages"]) for r in requests])
                case "rag":
                    return self._rag([(r["question"], r["passages"]) for r in requests])

    def _embed(self, requests: list[list[str]]) -> list[Json]:
        vectors = self._vectors([text for texts in requests for text in texts])
        return [{"embeddings": rows} for rows in _split(vectors.tolist(), map(len, requests))]

    def _vectors(self, texts: list[str]) -> torch.Tensor:
        vectors = self._embedder.encode(texts, convert_to_tensor=True, show_progress_bar=False)
        return vectors.float()

    def _rerank(self, requests: list[Question]) -> list[Json]:
        return [{"relevance": found.tolist()} for found in self._ranker.relevance(requests)]

    def _rag(self, requests: list[Question]) -> list[Json]:
        rows = self._rows([[question, *passages] for question, passages in requests])
        chosen = [
            Candidates.choose(question, passages, found[1:] @ found[0])
            for (question, passages), found in zip(requests, rows, strict=True)
        ]
        of_sentences = self._rows([found.texts() for found in chosen])
        questions = [question for question, _ in requests]
        relevance = self._ranker.relevance(
            [(question, found.passages) for question, found in zip(questions, chosen, strict=True)]
        )
        ranked = [
            found.ranked(vectors @ row[0], scores.numpy())
            for found, vectors, row, scores in
            zip(chosen, of_sentences, rows, relevance, strict=True)
        ]  # fmt: skip
        by_reader = self._reader.relevance(
            [(question, best) for question, (best, _) in zip(questions, ranked, strict=True)]
        )
        sources = [
            read(*best, logits.numpy()) for best, logits in zip(ranked, by_reader, strict=True)
        ]
        answers = self._generate(list(map(self._prompt_text, questions, sources)))
        return [{"answer": answer, "source": best[0]} for answer, best in
                zip(answers, sources, strict=True)]  # fmt: skip

    def _rows(self, texts: list[list[str]]) -> list[np.ndarray]:
        """The embeddings of each list of texts, all computed together."""
        vectors = self._vectors([text for one in texts for text in one])
        return [rows.numpy() for rows in vectors.split([len(one) for one in texts])]

    def _prompt_text(self, question: str, sources: list[str]) -> str:
        lines = [" ".join(source.split()) for source in sources[: self._prompt.num_sources]]
        content = self._user.render(question=question, sources=lines)
        system = self._prompt.system
        messages = [{"role": "system", "content": system}] if system else []
        return str(
            self._tokenizer.apply_chat_template(
                [*messages, {"role": "user", "content": content}],
                tokenize=False, add_generation_prompt=True,
            )
        )  # fmt: skip

    def _generate(self, prompts: list[str]) -> list[str]:
        given = self._tokenizer(
            prompts, add_special_tokens=False, padding=True, return_tensors="pt",
            return_token_type_ids=False,
        )  # fmt: skip
        out = self._llm.generate(
            **given, max_new_tokens=ANSWER_TOKENS, min_new_tokens=ANSWER_TOKENS, do_sample=False,
            pad_token_id=self._tokenizer.pad_token_id,
        )  # fmt: skip
        answers = out[:, given.input_ids.shape[1] :]
        return list(self._tokenizer.batch_decode(answers, skip_special_tokens=True))


def _has_bf16() -> bool:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    flags = next(line for line in lines if line.startswith("flags")).split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _split(rows: list[list[float]], counts: Any) -> list[list[list[float]]]:
    found, start = [], 0
    for count in counts:
        found.append(rows[start : start + count])
        start += count
    return found
