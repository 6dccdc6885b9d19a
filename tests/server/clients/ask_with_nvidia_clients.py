"""Ask by NVIDIA's packages for LangChain and Haystack as they are published: URL, prompt, tokens.

Prints JSON: answers, embeddings and rankings of both.
"""

import asyncio
import json
import sys
from typing import Any

from haystack import Document as HaystackDocument
from haystack.utils import Secret
from haystack_integrations.components.embedders.nvidia import NvidiaTextEmbedder
from haystack_integrations.components.rankers.nvidia import NvidiaRanker
from langchain_core.documents import Document
from langchain_nvidia_ai_endpoints import ChatNVIDIA, NVIDIAEmbeddings, NVIDIARerank

url, prompt, tokens = sys.argv[1:]
ROOT = f"{url}/v1"
QUESTION = "Which port does Vebra listen on?"
PASSAGES = ["The ferry sails at noon.", "Vebra listens on port 8123.", "Bread is baked at five."]


def langchain() -> dict[str, Any]:
    chat = ChatNVIDIA(base_url=ROOT, model="llm", api_key="none", max_completion_tokens=int(tokens))
    embeddings = NVIDIAEmbeddings(base_url=ROOT, model="embed", api_key="none")
    ranker = NVIDIARerank(base_url=ROOT, model="rerank", api_key="none", top_n=2)
    documents = [Document(page_content=passage) for passage in PASSAGES]
    answer = chat.invoke(prompt)
    return {
        "models": [model.id for model in chat.available_models],
        "whole": answer.content,
        "usage": answer.usage_metadata["output_tokens"],
        "streamed": "".join(str(chunk.content) for chunk in chat.stream(prompt)),
        "whole_async": asyncio.run(chat.ainvoke(prompt)).content,
        "query": embeddings.embed_query(prompt),
        "passages": embeddings.embed_documents([prompt, prompt])[1],
        "order": [
            PASSAGES.index(found.page_content)
            for found in ranker.compress_documents(documents, QUESTION)
        ],
    }


def haystack() -> dict[str, Any]:
    key = Secret.from_token("none")
    embedder = NvidiaTextEmbedder(model="embed", api_url=ROOT, api_key=key)
    ranker = NvidiaRanker(model="rerank", api_url=ROOT, api_key=key, top_k=2)
    embedder.warm_up()
    ranker.warm_up()
    documents = [HaystackDocument(content=passage) for passage in PASSAGES]
    ranked = ranker.run(query=QUESTION, documents=documents)["documents"]
    return {
        "query": embedder.run(prompt)["embedding"],
        "order": [PASSAGES.index(str(document.content)) for document in ranked],
    }


print(json.dumps({"langchain": langchain(), "haystack": haystack()}))
