"""How fast a search over a collection is, what it costs, and how good its ranking is: by hand."""
