"""How near the served numbers are to the reference implementations."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from sentence_transformers import SentenceTransformer
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)
from tritonclient.grpc import InferenceServerClient

from tests.load.workloads import documents, questions
from tests.server.checkpoints import checkpoint
from tests.server.conftest import OpenStream, tensor, text

PROMPTS = 50
NEW_TOKENS = 32


@dataclass(frozen=True)
class Equality:
    """Worst cases, and how many greedy answers are the same."""

    lowest_cosine: float
    largest_logit_difference: float
    equal_prompts: int


def measure(url: str) -> Equality:
    """Against sentence-transformers and transformers in fp32."""
    client = InferenceServerClient(url)
    found = Equality(_cosine(client), _logits(client), _greedy(url))
    client.close()
    return found


def _cosine(client: InferenceServerClient) -> float:
    texts = [*documents(), *questions()]
    expected = SentenceTransformer(str(checkpoint("embedder")), device="cpu").encode(texts)
    found = client.infer("embed", [text("input_text", *texts)]).as_numpy("embedding")
    return float((found * expected).sum(axis=1).min())


def _logits(client: InferenceServerClient) -> float:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint("reranker"))
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint("reranker")).eval()
    worst = 0.0
    for question in questions()[:8]:
        pairs = tokenizer(
            [question] * len(documents()), documents(), padding=True, truncation="only_second",
            max_length=256, return_tensors="pt",
        )  # fmt: skip
        with torch.inference_mode():
            expected = model(**pairs).logits.numpy()
        request = [text("query", question), text("passages", *documents())]
        found = client.infer("rerank", request).as_numpy("relevance")
        worst = max(worst, float(abs(found - expected).max()))
    return worst


def _greedy(url: str) -> int:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint("llm"))
    model = AutoModelForCausalLM.from_pretrained(checkpoint("llm"), dtype=torch.float32).eval()
    prompts = [*documents(), *questions()][:PROMPTS]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda p: _generate(url, p), prompts))
    equal = 0
    for prompt, answer in zip(prompts, found, strict=True):
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        with torch.inference_mode():
            out = model.generate(ids, max_new_tokens=NEW_TOKENS, do_sample=False)
        equal += tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True) == answer
    return equal


def _generate(url: str, prompt: str) -> str:
    inputs = [text("text_input", prompt), tensor("max_tokens", [NEW_TOKENS], "INT32")]
    stream = OpenStream(url, "llm", inputs)
    response, error = stream.next()
    stream.close()
    if error:
        raise error
    return str(response.as_numpy("text_output")[0].decode())
