# ruff: noqa: E501 - configurations
"""Sound repositories, each with many fields set: what `corpus` mutates."""

PYTHON = """import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([]) for _ in requests]
"""

_HEAD = """max_batch_size: 8
input [
  { name: "x" data_type: TYPE_FP32 dims: [ 3, -1 ] },
  { name: "ids" data_type: TYPE_INT64 dims: [ 4 ] reshape { shape: [ 2, 2 ] } }
]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 10 ] } ]
"""

_ONNX = f"""name: "onnx"
platform: "onnxruntime_onnx"
{_HEAD}
version_policy: {{ specific {{ versions: [ 1, 3 ] }} }}
instance_group [ {{ count: 2 kind: KIND_CPU }} ]
dynamic_batching {{
  preferred_batch_size: [ 4, 8 ]
  max_queue_delay_microseconds: 100
  default_queue_policy {{ timeout_action: REJECT default_timeout_microseconds: 1000 max_queue_size: 8 }}
}}
optimization {{ graph {{ level: 1 }} priority: PRIORITY_MAX input_pinned_memory {{ enable: true }} }}
response_cache {{ enable: true }}
metric_tags {{ key: "team" value: "search" }}
parameters {{ key: "intra_op_thread_count" value {{ string_value: "2" }} }}
"""

_TENSORRT = """backend: "tensorrt"
max_batch_size: 4
input { name: "image" data_type: TYPE_FP16 dims: [ 3, 224, 224 ] }
input { name: "ragged" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }
output { name: "prob" data_type: TYPE_FP32 dims: [ 1000, 1, 1 ] reshape { shape: [ 1000 ] } }
instance_group { kind: KIND_CPU host_policy: "numa"
  rate_limiter { resources [ { name: "R1" count: 4 }, { name: "R2" global: true count: 2 } ] priority: 2 } }
dynamic_batching {
  default_queue_policy { timeout_action: REJECT default_timeout_microseconds: 7 } }
optimization { cuda { graphs: true graph_spec { batch_size: 1 input { key: "image" value { dim: [ 3 ] } } } } }
"""


def _stage(read: str, written: str, batch: int = 8, more: str = "") -> str:
    return (
        f'backend: "identity"\nmax_batch_size: {batch}\ninput {{ {read} }}\noutput '
        f"{{ {written} }}\n"
        f"{more}"
    )


_TEXT = 'name: "text" data_type: TYPE_STRING dims: [ 1 ]'
_IDS = 'name: "ids" data_type: TYPE_INT64 dims: [ -1 ]'
_VECTOR = 'name: "vector" data_type: TYPE_FP32 dims: [ 384 ]'

_ENSEMBLE = """name: "pipeline"
platform: "ensemble"
max_batch_size: 4
input [ { name: "TEXT" data_type: TYPE_STRING dims: [ 1 ] } ]
output [ { name: "VECTOR" data_type: TYPE_FP32 dims: [ 384 ] },
         { name: "IDS" data_type: TYPE_INT64 dims: [ -1 ] } ]
version_policy { latest { num_versions: 1 } }
ensemble_scheduling {
  step [
    { model_name: "tokenizer" model_version: -1
      input_map { key: "text" value: "TEXT" }
      output_map { key: "ids" value: "IDS" } },
    { model_name: "encoder" model_version: 1
      input_map { key: "ids" value: "IDS" }
      output_map { key: "vector" value: "raw" } },
    { model_name: "normalize" model_version: -1
      input_map { key: "vector" value: "raw" }
      output_map { key: "vector" value: "VECTOR" } }
  ]
}
"""
_PIPELINE = {
    "pipeline/config.pbtxt": _ENSEMBLE,
    "pipeline/1": None,
    "tokenizer/config.pbtxt": _stage(_TEXT, _IDS),
    "tokenizer/1": None,
    "encoder/config.pbtxt": _stage(_IDS, _VECTOR, 4),
    "encoder/1": None,
    "normalize/config.pbtxt": _stage(_VECTOR, _VECTOR),
    "normalize/1": None,
}

_STREAM = """platform: "ensemble"
input { name: "PROMPT" data_type: TYPE_STRING dims: [ 1 ] }
output { name: "TEXT" data_type: TYPE_STRING dims: [ 1 ] }
output { name: "LOGITS" data_type: TYPE_FP32 dims: [ -1, 384 ] }
ensemble_scheduling {
  step { model_name: "pre" model_version: -1
    input_map { key: "text" value: "PROMPT" } output_map { key: "ids" value: "_ids" } }
  step { model_name: "llm" model_version: -1
    input_map { key: "ids" value: "_ids" }
    output_map { key: "ids" value: "_tokens" } output_map { key: "vector" value: "LOGITS" } }
  step { model_name: "post" model_version: -1
    input_map { key: "ids" value: "_tokens" } output_map { key: "text" value: "TEXT" } }
}
"""
_STREAMING = {
    "stream/config.pbtxt": _STREAM,
    "stream/1": None,
    "pre/config.pbtxt": _stage(_TEXT, _IDS, 0),
    "pre/1": None,
    "llm/config.pbtxt": _stage(
        _IDS,
        f"{_IDS} }} output {{ {_VECTOR}",
        8,
        "model_transaction_policy { decoupled: true }\n",
    ).replace("[ -1 ]", "[ 1 ]"),
    "llm/1": None,
    "post/config.pbtxt": _stage(_IDS, _TEXT, 0).replace("[ -1 ]", "[ -1, 1 ]"),
    "post/1": None,
}
_STREAMING["pre/config.pbtxt"] = _stage(_TEXT, _IDS.replace("[ -1 ]", "[ -1, 1 ]"), 0)

_PYTHON = """backend: "python"
max_batch_size: 8
input { name: "text" data_type: TYPE_STRING dims: [ 1 ] }
output { name: "ids" data_type: TYPE_INT64 dims: [ -1 ] }
parameters { key: "FORCE_CPU_ONLY_INPUT_TENSORS" value { string_value: "no" } }
instance_group { kind: KIND_CPU count: 1 }
"""

BASES: dict[str, dict[str, str | None]] = {
    "onnx": {
        "onnx/config.pbtxt": _ONNX,
        "onnx/1/model.onnx": "",
        "onnx/3/model.onnx": "",
    },
    "tensorrt": {"trt/config.pbtxt": _TENSORRT, "trt/1/model.plan": ""},
    "pipeline": _PIPELINE,
    "streaming": _STREAMING,
    "python": {"python/config.pbtxt": _PYTHON, "python/1/model.py": PYTHON},
}
