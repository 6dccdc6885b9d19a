"""The peer: the same models and the same work behind plain FastAPI and transformers, one process.

Run as `python -m tests.bench.peer PORT`. Tuned fairly: two threads as everywhere, no gradients,
batched encoders, logging off, the same prompt and the same greedy decoding with a KV cache.
"""

import sys

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)
from transformers.utils import logging

from python_backends.prompt_builder import SYSTEM, USER, strict_template
from tests.server.checkpoints import checkpoint

CANDIDATES, SOURCES, MAX_TOKENS = 16, 3, 64


class Question(BaseModel):
    """One request."""

    question: str
    passages: list[str]


def load() -> FastAPI:
    """The application with its models."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    embedder = SentenceTransformer(str(checkpoint("embedder")), device="cpu")
    rank_tokenizer = AutoTokenizer.from_pretrained(checkpoint("reranker"))
    ranker = AutoModelForSequenceClassification.from_pretrained(checkpoint("reranker")).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint("llm"))
    llm = AutoModelForCausalLM.from_pretrained(checkpoint("llm"), dtype=torch.float32).eval()
    user = strict_template(USER)
    app = FastAPI()

    @app.post("/rag")
    @torch.inference_mode()
    def rag(body: Question) -> dict[str, str]:
        vectors = embedder.encode([body.question, *body.passages], convert_to_tensor=True)
        nearest = (vectors[1:] @ vectors[0]).topk(min(CANDIDATES, len(body.passages))).indices
        candidates = [body.passages[i] for i in nearest.tolist()]
        pairs = rank_tokenizer(
            [body.question] * len(candidates), candidates, padding=True, truncation="only_second",
            max_length=256, return_tensors="pt",
        )  # fmt: skip
        order = ranker(**pairs).logits[:, 0].argsort(descending=True)[:SOURCES]
        sources = [candidates[i] for i in order.tolist()]
        content = user.render(question=body.question, sources=sources)
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": content}]
        prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids
        out = llm.generate(ids, max_new_tokens=MAX_TOKENS, do_sample=False)[0, ids.shape[1] :]
        return {"answer": tokenizer.decode(out, skip_special_tokens=True)}

    return app


if __name__ == "__main__":
    torch.set_num_threads(2)
    uvicorn.run(load(), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
