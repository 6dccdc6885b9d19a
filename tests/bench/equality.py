"""How near the encoders' served numbers are to the reference implementations.

The LLM is compared with transformers when its engine is built (docs/decisions/0036).
"""

from dataclasses import dataclass

import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer
from tritonclient.grpc import InferenceServerClient

from builders.encoder_models import load_classifier
from tests.load.workloads import documents, questions
from tests.server.checkpoints import checkpoint, served_checkpoint, served_spec
from tests.server.conftest import text


@dataclass(frozen=True)
class Equality:
    """Worst cases."""

    lowest_cosine: float
    largest_logit_difference: float


def measure(url: str) -> Equality:
    """Against sentence-transformers and transformers in fp32."""
    client = InferenceServerClient(url)
    found = Equality(_cosine(client), _logits(client))
    client.close()
    return found


def _cosine(client: InferenceServerClient) -> float:
    texts = [*documents(), *questions()]
    expected = SentenceTransformer(str(checkpoint("embedder")), device="cpu").encode(texts)
    found = client.infer("embed", [text("input_text", *texts)]).as_numpy("embedding")
    return float((found * expected).sum(axis=1).min())


def _logits(client: InferenceServerClient) -> float:
    found = served_checkpoint("reranker")
    tokenizer = AutoTokenizer.from_pretrained(found.path)
    model = load_classifier(served_spec("reranker"), found, torch.float32)
    worst = 0.0
    for question in questions()[:8]:
        pairs = tokenizer(
            [question] * len(documents()), documents(), padding=True, truncation="only_second",
            max_length=256, return_tensors="pt",
        )  # fmt: skip
        with torch.inference_mode():
            expected = model(**pairs).logits.numpy()
        request = [text("query", question), text("passages", *documents())]
        relevance = client.infer("rerank", request).as_numpy("relevance")
        worst = max(worst, float(abs(relevance - expected).max()))
    return worst
