"""Caches of answers: a request that was answered before is not computed again."""
