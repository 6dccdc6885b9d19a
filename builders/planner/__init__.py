"""Plans: what an LLM or encoder would be on a GPU SKU, what to expect of it, and why."""
