"""API keys, limits, the ledger of usage, and fair queues in front of Triton."""
