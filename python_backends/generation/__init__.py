"""`llm`: chat template, sampling, generation, detokenizer."""
