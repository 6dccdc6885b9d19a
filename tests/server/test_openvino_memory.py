"""OpenVINO keeps little of each shape that it has seen, measured on the served reranker."""

import subprocess
import sys

from builders.repository import engine_link
from builders.spec import ROOT
from python_backends.engines.openvino_properties import CACHED_SHAPES

GROWTH = """
import sys
from pathlib import Path
import numpy as np
from python_backends.engines import openvino_properties
from tests.fakes.serving import context

openvino_properties.CACHED_SHAPES = int(sys.argv[2])
from python_backends.engines.openvino_encoder import OpenVinoEncoder

def memory_mib():
    line = next(l for l in Path("/proc/self/status").open() if l.startswith("RssAnon"))
    return int(line.split()[1]) / 1024

loaded = context(Path(sys.argv[1]), num_threads=1, precision="auto")
engine = OpenVinoEncoder(loaded, loaded.engine_folder())

def compute(rows, tokens):
    names = ("input_ids", "attention_mask", "token_type_ids")
    engine.encode([{name: np.ones((rows, tokens), np.int64) for name in names}])

compute(4, 256)  # the largest, so that only what is kept of the others counts
before = memory_mib()
for rows in (1, 2, 3, 4):
    for tokens in range(8, 256, 8):
        compute(rows, tokens)
print(memory_mib() - before)
"""


def growth_mib(cached_shapes: int) -> float:
    command = [sys.executable, "-c", GROWTH, str(engine_link("reranker")), str(cached_shapes)]
    return float(subprocess.check_output(command, timeout=600, cwd=ROOT))


def test_memory_grows_less_with_shapes_than_by_openvinos_default() -> None:
    assert growth_mib(CACHED_SHAPES) < 0.75 * growth_mib(5000)
