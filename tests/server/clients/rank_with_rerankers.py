"""Rank by the library `rerankers` as it is published, in the shapes of three APIs: URL.

Prints JSON: for each API the passages, best first, and their scores.
"""

import json
import sys

from rerankers import Reranker

url = sys.argv[1]
QUESTION = "Which port does Vebra listen on?"
PASSAGES = ["The ferry sails at noon.", "Vebra listens on port 8123.", "Bread is baked at five."]
ROUTES = {"cohere": "/v1/rerank", "jina": "/v1/rerank", "text-embeddings-inference": "/rerank"}


def ranked(api: str) -> dict[str, list[float]]:
    ranker = Reranker("rerank", model_type=api, api_key="none", url=url + ROUTES[api], verbose=0)
    found = ranker.rank(query=QUESTION, docs=PASSAGES).results
    return {
        "order": [PASSAGES.index(result.document.text) for result in found],
        "scores": [result.score for result in found],
    }


print(json.dumps({api: ranked(api) for api in ROUTES}))
