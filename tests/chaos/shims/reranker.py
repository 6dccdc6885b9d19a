"""`reranker` over an engine that fails on certain words."""

from broken_encoder import broken

from python_backends.adapter import python_model
from python_backends.encoder import RerankerStage

TritonPythonModel = python_model(broken(RerankerStage))
