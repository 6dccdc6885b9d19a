"""`prompt_builder` that fails on questions with certain words."""

import time

import numpy as np

from python_backends.stages.prompt_builder import PromptBuilderStage
from python_backends.triton.adapter import python_model


class Broken(PromptBuilderStage):
    """Raises, is slow, gives a wrong shape, or nothing."""

    def answer(self, request):
        question = request.text("question")
        if "dragon" in question:
            raise RuntimeError("the stage failed, and this sentence is for the log only")
        if "pirate" in question:
            return None
        if "sailor" in question:
            time.sleep(2.0)
        outputs = dict(super().answer(request))
        if "wizard" in question:
            outputs["messages"] = np.zeros((3, 3), np.float32)
        return outputs


TritonPythonModel = python_model(Broken)
