"""What is served: the tensors of every model, and the graphs that connect models.

    contracts   inputs and outputs of each model          tensors    data types and shapes
    embed       texts → embeddings                        graph      steps and their connections
    rerank      query and passages → relevance            manifest   content of an engine folder
    retrieve    question and documents → sources          metrics    every metric that is served
    rag         question and documents → streamed answer
    ensemble    NVIDIA's contract for LLMs

This package needs the standard library only. Terms of this package and `python_backends`:

    contract     names, types and shapes of a model's tensors
    graph, step  models connected by tensors; one call of a model in it
    stage        the code of one served model
    engine       an inference library with a loaded model; an engine folder holds its files
    request      what a client or a model sends to a model: rows for encoders, one prompt for `llm`
    row          one text or one pair of texts, as token ids
    batch        requests that Triton hands over together
    compute batch  rows that an encoder engine computes together
    passage, candidate, source   a slice of a document; one to be reranked; one for the LLM
    generation   a request to `llm`, from prompt to last response
    delta, chunk   new token ids from the engine; new text in a response of a stream
    phase        a timed part of a request: tokenize, queue, prefill, decode, or a call of a model
    outcome      how a request ended (`metrics.OUTCOMES`); a finish reason is why its text ended
"""
