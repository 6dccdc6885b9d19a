#!/usr/bin/env bash
# What `make demo` asks, beside the server that `python -m operations serve --run` started.
set -euo pipefail
collection=tests/collection
echo "asking about $(ls $collection/*.md | wc -l) documents in $collection"
for question in \
    "Which port does Vebra listen on?" \
    "Who is the keeper of Tarn Point?" \
    "How much does a night at the Old Thrush cost?" \
    "Who is the captain of the Bittern?"; do
    printf '\n▶ %s\n' "$question"
    python -m triton_rag ask "$question" --documents $collection --stages 2>&1
done
