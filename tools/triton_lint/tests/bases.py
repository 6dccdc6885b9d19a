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
output [ { name: "y" data_type: TYPE_FP32 dims: [ 10 ] label_filename: "labels.txt" } ]
"""

_ONNX = f"""name: "onnx"
platform: "onnxruntime_onnx"
{_HEAD}
version_policy: {{ specific {{ versions: [ 1, 3 ] }} }}
instance_group [ {{ count: 2 kind: KIND_CPU }} ]
dynamic_batching {{
  preferred_batch_size: [ 4, 8 ]
  max_queue_delay_microseconds: 100
  priority_levels: 2
  default_priority_level: 1
  default_queue_policy {{ timeout_action: REJECT default_timeout_microseconds: 1000 max_queue_size: 8 }}
  priority_queue_policy {{ key: 2 value {{ timeout_action: DELAY default_timeout_microseconds: 5 }} }}
}}
optimization {{ graph {{ level: 1 }} priority: PRIORITY_MAX input_pinned_memory {{ enable: true }} }}
response_cache {{ enable: true }}
metric_tags {{ key: "team" value: "search" }}
parameters {{ key: "intra_op_thread_count" value {{ string_value: "2" }} }}
"""

_TENSORRT = """backend: "tensorrt"
max_batch_size: 4
input { name: "image" data_type: TYPE_FP16 format: FORMAT_NCHW dims: [ 3, 224, 224 ] }
input { name: "shape" data_type: TYPE_INT32 dims: [ 2 ] is_shape_tensor: true }
input { name: "ragged" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }
output { name: "prob" data_type: TYPE_FP32 dims: [ 1000, 1, 1 ] reshape { shape: [ 1000 ] } }
batch_input { kind: BATCH_ELEMENT_COUNT target_name: "n" data_type: TYPE_FP32 source_input: "ragged" }
batch_output { target_name: "prob" kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: "ragged" }
instance_group { kind: KIND_CPU profile: [ "0", "1" ] host_policy: "numa"
  rate_limiter { resources [ { name: "R1" count: 4 }, { name: "R2" global: true count: 2 } ] priority: 2 } }
dynamic_batching { preserve_ordering: true
  default_queue_policy { timeout_action: REJECT default_timeout_microseconds: 7 } }
optimization { cuda { graphs: true graph_spec { batch_size: 1 input { key: "image" value { dim: [ 3 ] } } } } }
"""

_SEQUENCE = """name: "sequence"
backend: "pytorch"
max_batch_size: 8
input { name: "INPUT" data_type: TYPE_INT32 dims: [ 1 ] }
output { name: "OUTPUT" data_type: TYPE_INT32 dims: [ 1 ] }
sequence_batching {
  max_sequence_idle_microseconds: 5000000
  oldest { max_candidate_sequences: 4 preferred_batch_size: [ 2, 4 ] max_queue_delay_microseconds: 10 }
  control_input [
    { name: "START" control [ { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } ] },
    { name: "END" control [ { kind: CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ] } ] },
    { name: "READY" control [ { kind: CONTROL_SEQUENCE_READY bool_false_true: [ false, true ] } ] },
    { name: "ID" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } ] }
  ]
  state [ {
    input_name: "IN_STATE" output_name: "OUT_STATE" data_type: TYPE_INT32 dims: [ 2 ]
    initial_state { data_type: TYPE_INT32 dims: [ 2 ] zero_data: true name: "zero" }
  } ]
}
instance_group { kind: KIND_CPU }
"""

_DIRECT = """backend: "identity"
max_batch_size: 0
input { name: "INPUT" data_type: TYPE_STRING dims: [ -1 ] optional: true }
output { name: "OUTPUT" data_type: TYPE_STRING dims: [ -1 ] }
sequence_batching { direct { minimum_slot_utilization: 0.5 max_queue_delay_microseconds: 1 } }
model_transaction_policy { decoupled: true }
"""

_WARM = """backend: "openvino"
max_batch_size: 2
input { name: "a" data_type: TYPE_FP32 dims: [ 3, -1 ] }
input { name: "b" data_type: TYPE_INT32 dims: [ 1 ] optional: true }
input { name: "c" data_type: TYPE_STRING dims: [ 2 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] }
instance_group { kind: KIND_CPU count: 1 }
model_warmup [ {
  name: "first" batch_size: 2 count: 2
  inputs { key: "a" value { data_type: TYPE_FP32 dims: [ 3, 7 ] random_data: true } }
  inputs { key: "b" value { data_type: TYPE_INT32 dims: [ 1 ] zero_data: true } }
  inputs { key: "c" value { data_type: TYPE_STRING dims: [ 2 ] zero_data: true } }
},
{ name: "file" batch_size: 1
  inputs { key: "a" value { data_type: TYPE_FP32 dims: [ 3, 1 ] input_data_file: "a.bin" } }
  inputs { key: "c" value { data_type: TYPE_STRING dims: [ 2 ] random_data: true } }
} ]
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
        "onnx/labels.txt": "a\nb\n",
    },
    "tensorrt": {"trt/config.pbtxt": _TENSORRT, "trt/1/model.plan": ""},
    "sequence": {"sequence/config.pbtxt": _SEQUENCE, "sequence/1/model.pt": ""},
    "direct": {"direct/config.pbtxt": _DIRECT, "direct/1": None},
    "warm-up": {
        "warm/config.pbtxt": _WARM,
        "warm/1/model.xml": "",
        "warm/warmup/a.bin": "012345678901",
    },
    "pipeline": _PIPELINE,
    "streaming": _STREAMING,
    "python": {"python/config.pbtxt": _PYTHON, "python/1/model.py": PYTHON},
}
