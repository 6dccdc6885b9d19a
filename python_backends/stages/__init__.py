"""The code of each served Python model, without Triton: tensors in, tensors out.

A model's file has its name, except that `embedder` and `reranker` are in encoder.py, `ensemble` and
`rag_cancellable` in graph_runner.py. bm25.py and fusion.py are no models: the ranking uses them.
The models `embed`, `rerank`, `retrieve` and `rag` have no code: they are graphs in `ensembles` that
Triton's ensemble scheduler serves.
"""
