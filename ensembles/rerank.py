"""`rerank`: a query and passages to the relevance of each passage."""

from ensembles.contracts import PAIR_TOKENIZER, RERANKER, ModelContract
from ensembles.graph import EnsembleGraph, Step
from ensembles.tensors import DType, tensor

RERANK = EnsembleGraph(
    contract=ModelContract(
        name="rerank",
        inputs=PAIR_TOKENIZER.inputs,
        outputs=(tensor("relevance", DType.FP32, "passages", 1),),
    ),
    steps=(Step(PAIR_TOKENIZER), Step(RERANKER)),
)
