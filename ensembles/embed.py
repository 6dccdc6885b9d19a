"""`embed`: texts to embeddings."""

from ensembles.contracts import EMBEDDER, INPUT_TYPE, TOKENIZER, TRUNCATE, ModelContract
from ensembles.graph import EnsembleGraph, Step
from ensembles.tensors import DType, tensor

EMBED = EnsembleGraph(
    contract=ModelContract(
        name="embed",
        # `input_text`, its shape and the single output are LiteLLM's embedding contract.
        inputs=(tensor("input_text", DType.STRING, "texts"), INPUT_TYPE, TRUNCATE),
        outputs=(tensor("embedding", DType.FP32, "texts", "dimension"),),
    ),
    steps=(Step(TOKENIZER), Step(EMBEDDER)),
)
