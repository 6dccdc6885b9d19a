"""Embed texts and rerank passages with NVIDIA's tritonclient over HTTP.

Start the server with `make serve`. TRITON_RAG_HTTP_URL names another HTTP address.
"""

import os

import numpy as np
import tritonclient.http as httpclient

QUERY = "Which port does Vebra listen on?"
PASSAGES = [
    "The ferry to Tarn Point sails at nine and at noon.",
    "Vebra listens on port 8123.",
    "Vebra is a small database.",
]


def text_input(name: str, *texts: str) -> httpclient.InferInput:
    tensor = httpclient.InferInput(name, [len(texts)], "BYTES")
    tensor.set_data_from_numpy(np.array(texts, dtype=np.object_))
    return tensor


def main() -> None:
    url = os.environ.get("TRITON_RAG_HTTP_URL", "127.0.0.1:8000")
    with httpclient.InferenceServerClient(url) as client:
        embedded = client.infer("embed", [text_input("input_text", QUERY, *PASSAGES)])
        query, *passages = embedded.as_numpy("embedding")
        inputs = [text_input("query", QUERY), text_input("passages", *PASSAGES)]
        relevance = client.infer("rerank", inputs).as_numpy("relevance")[:, 0]
    print("similarity  relevance  passage")
    for index in np.argsort(-relevance):
        print(f"{passages[index] @ query:10.2f} {relevance[index]:10.2f}  {PASSAGES[index]}")


if __name__ == "__main__":
    main()
