"""Engines of TensorRT-LLM: commands, configurations, arguments. Nothing here has run on a GPU."""
