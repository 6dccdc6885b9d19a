"""What a question may cost, in every variant; imported by the peers, so it imports nothing."""

CANDIDATES, SOURCES, MAX_TOKENS = 16, 3, 64
"""Passages that are reranked, passages in the prompt, tokens of the answer."""
