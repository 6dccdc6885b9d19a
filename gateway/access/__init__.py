"""Who may ask, how much and when: keys, limits, the ledger, fair queues in front of Triton."""
