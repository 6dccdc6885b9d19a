#!/usr/bin/env bash
# What `make demo` asks, beside the server that `python -m operations serve --run` started.
set -euo pipefail
documents=tests/evaluation/documents/sqlite
echo "asking about $(ls $documents | wc -l) pages of SQLite's documentation in $documents"
for question in \
    "Are two operations on the same SQLite connection isolated from each other?" \
    "How much free disk space may VACUUM take?" \
    "Which form of VACUUM makes a backup copy of a live database?" \
    "Who won the cycling race in the mountains?"; do
    printf '\n▶ %s\n' "$question"
    python -m triton_rag ask "$question" --documents $documents --stages 2>&1
done
