"""Properties of every engine on OpenVINO's CPU plugin: threads, precision, and size of caches."""

from python_backends.context import StageContext

CACHED_SHAPES = 64
"""Most entries of each of OpenVINO's caches by shape, of which each stream has its own. With the
default of 5,000, memory grew with every new shape of a batch and every new number of tokens in a
step (docs/decisions/0112)."""

_PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16"}


def cpu_properties(context: StageContext, precision: str) -> dict[str, object]:
    """Properties of OpenVINO's CPU plugin, which chooses the precision itself unless `precision` is
    "fp32" or "bf16"."""
    properties: dict[str, object] = {"CPU_RUNTIME_CACHE_CAPACITY": CACHED_SHAPES}
    if threads := context.integer("num_threads"):
        properties["INFERENCE_NUM_THREADS"] = threads
    if hint := _PRECISION_HINTS.get(precision):
        properties["INFERENCE_PRECISION_HINT"] = hint
    return properties
