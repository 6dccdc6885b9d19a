"""What every engine on OpenVINO's CPU plugin is told: threads, precision, and how much it keeps."""

from python_backends.context import StageContext

CACHED_SHAPES = 64
"""Entries that OpenVINO keeps of shapes that it has seen, of each kind and in each stream. It keeps
5,000 by default, so memory grew with every shape of a batch and every number of tokens in a step
(docs/decisions/0112)."""

_PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16"}


def cpu_properties(context: StageContext, precision: str) -> dict[str, object]:
    """Properties of OpenVINO's CPU plugin. It chooses the precision if `precision` is another."""
    properties: dict[str, object] = {"CPU_RUNTIME_CACHE_CAPACITY": CACHED_SHAPES}
    if threads := context.integer("num_threads"):
        properties["INFERENCE_NUM_THREADS"] = threads
    if hint := _PRECISION_HINTS.get(precision):
        properties["INFERENCE_PRECISION_HINT"] = hint
    return properties
