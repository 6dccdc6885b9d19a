"""`reranker` over an engine that fails on certain words."""

from broken_encoder import broken

from python_backends.stages.encoder import RerankerStage
from python_backends.triton.adapter import python_model

TritonPythonModel = python_model(broken(RerankerStage))
