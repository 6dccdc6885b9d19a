"""How the models run: the code inside Triton's Python backend.

Each layer imports the layers below it only (`tool.importlinter` in pyproject.toml):

    trial           an engine folder tried without Triton, by the build that made it
    triton/         Triton's Python backend: requests, responses, metrics, traces
    stages/         one class per served Python model
    generation/     parts of the stage `llm`: sampling, chat template, detokenizer, responses
    stores/         where collections are kept
    engines/        the inference libraries behind `embedder`, `reranker` and `llm`
    tokenization    tokenizers of the checkpoints
    stage           what the layers above agree on: stages, streams
    context         … what a stage is loaded with
    tensors         … its inputs and outputs
    errors          … its errors

No module imports an inference library or Triton's module at import time.
"""
