"""What a question may cost, in every variant; imported by the peers, so it imports nothing."""

CANDIDATES, SOURCES, ANSWER_TOKENS = 16, 3, 16
"""Passages that are judged closely, passages in the prompt unless the model's spec wants fewer, and
tokens of every answer: exactly so many, whatever the model has to say."""
