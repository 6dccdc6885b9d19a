"""Ask a question about your own documents, and print the answer with its sources.

Start the server with `make serve`, then run `.venv/bin/python examples/ask_over_documents.py`.
TRITON_RAG_URL names another gRPC address.
"""

import os

from triton_rag import Client

DOCUMENTS = [
    "Vebra is a small database. It listens on port 8123 and keeps its files in /var/lib/vebra.",
    "The ferry to Tarn Point sails at nine and at noon. Bicycles travel free.",
    "Vebra needs one gibibyte of memory. It stops with exit status 3 when there is less.",
]
QUESTION = "Which port does Vebra listen on?"


def main() -> None:
    with (
        Client(os.environ.get("TRITON_RAG_URL", "127.0.0.1:8001")) as client,
        client.ask_stream(QUESTION, DOCUMENTS, num_sources=2) as stream,
    ):
        print(f"Question: {QUESTION}\nAnswer: ", end="")
        for piece in stream:
            print(piece, end="", flush=True)
        print()
        for number, source in enumerate(stream.answer.sources, start=1):
            cited = " (cited)" if number in stream.answer.citations else ""
            print(f"[{number}] {source.relevance:.2f}{cited}: {source.text}")


if __name__ == "__main__":
    main()
