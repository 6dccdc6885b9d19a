#!/usr/bin/env bash
# What `make demo` does beside the server that `python -m operations serve --run` started.
set -euo pipefail
documents=examples/documents
echo "reading a page, a PDF and a Word file of SQLite's documentation in $documents"
python -m triton_rag ingest $documents --collection sqlite-demo
for question in \
    "Does WAL work over a network filesystem?" \
    "What is the default transaction behavior?" \
    "Can multiple applications access a single database file at the same time?" \
    "Who won the cycling race in the mountains?"; do
    printf '\n▶ %s\n' "$question"
    python -m triton_rag ask "$question" --collection sqlite-demo 2>&1
done
ask='{"model": "rag", "messages": [{"role": "user", "content": "Which port does Vebra listen on?"}], "documents": ["Vebra listens on port 8123.", "The ferry sails at noon."]}'
printf "\n▶ the same server by OpenAI's API, through the gateway\n"
echo "curl $TRITON_RAG_GATEWAY_URL/v1/chat/completions --json '$ask'"
curl -sSf "$TRITON_RAG_GATEWAY_URL/v1/chat/completions" -H "content-type: application/json" -d "$ask"
echo
