"""The code of each served Python model, without Triton: tensors in, tensors out.

    model              file
    tokenizer          tokenizer.py
    embedder           encoder.py
    passage_splitter   passage_splitter.py
    passage_selector   passage_selector.py
    pair_tokenizer     pair_tokenizer.py
    reranker           encoder.py
    source_ranker      source_ranker.py
    prompt_builder     prompt_builder.py
    llm                llm.py
    ensemble           graph_runner.py
    rag_cancellable    graph_runner.py

The other models, `embed`, `rerank`, `retrieve` and `rag`, have no code: they are graphs in
`ensembles` that Triton's ensemble scheduler serves.
"""
