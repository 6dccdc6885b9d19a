"""Answers that are kept: a request that was answered before is not computed again."""
