"""Tensors of `llm` about functions that its answer may call."""

from ensembles.tensors import DType, TensorSpec

TOOLS = (
    # JSON: the functions, as OpenAI's chat has them
    TensorSpec("tools", DType.STRING, (1,), optional=True),
    # auto, the default; none; required: the answer is one call, if the engine can follow a guide
    TensorSpec("tool_choice", DType.STRING, (1,), optional=True),
    # false: the answer ends with its first call
    TensorSpec("parallel_tool_calls", DType.BOOL, (1,), optional=True),
)
"""What the answer to `messages` may call."""

TOOL_CALLS = TensorSpec("tool_calls", DType.STRING, ("tool_calls",), optional=True)
"""Pieces of calls that a response adds, each in JSON: the call's `index` from 0, its `name` in its
first piece, and new text of its `arguments`, which joined are JSON as the model wrote it."""
