"""An encoder engine that fails on rows with certain words; copied beside the shims that use it."""

import time

import numpy as np

from python_backends.tokenization import load_tokenizer

FAULTS = ("quartz", "copper", "marble", "velvet", "walnut")
"""Raise; NaN; a row too few; nothing at all; a second's sleep."""


class BrokenEngine:
    """Wraps an `EncoderEngine`."""

    def __init__(self, engine, folder):
        self._engine = engine
        tokenizer = load_tokenizer(folder)
        self._ids = [tokenizer.encode(word, add_special_tokens=False).ids[0] for word in FAULTS]

    def encode(self, batches):
        return [self._encode(inputs) for inputs in batches]

    def _encode(self, inputs):
        found = [(inputs["input_ids"] == number).any(axis=1) for number in self._ids]
        raises, nan, short, nothing, slow = found
        if raises.any():
            raise RuntimeError("the engine failed on a row, and this sentence is for the log only")
        if nothing.any():
            return None
        if slow.any():
            time.sleep(1.0)
        (rows,) = self._engine.encode([inputs])
        rows = np.where(nan[:, None], np.nan, rows).astype(np.float32)
        return rows[:-1] if short.any() else rows


def broken(stage_class):
    """The stage with a broken engine."""

    class BrokenStage(stage_class):
        def __init__(self, context):
            super().__init__(context)
            self._engine = BrokenEngine(self._engine, context.engine_folder())

    return BrokenStage
