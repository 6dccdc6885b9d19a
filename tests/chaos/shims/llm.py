"""`llm` whose engine hands out, in the middle of certain prompts' streams, what it must not."""

from dataclasses import replace

from python_backends.engines.llm_engine import Delta
from python_backends.stages.llm import LlmStage
from python_backends.triton.adapter import python_model

AFTER_DELTAS = 3


class BrokenEngine:
    """Wraps an `LlmEngine`: the deltas of a chosen request are changed from the fourth on.

    What ends the request stays: a stream that hangs is then the stage's fault, not the shim's.
    """

    def __init__(self, engine):
        self._engine = engine
        self.fault = None

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def submit(self, prompt_ids, params, sink):
        fault, self.fault, seen = self.fault, None, 0

        def broken_sink(delta):
            nonlocal seen
            seen += 1
            if fault is None or seen <= AFTER_DELTAS:
                sink(delta)
            else:
                sink(fault(delta))

        return self._engine.submit(prompt_ids, params, broken_sink)


class Broken(LlmStage):
    """Raises at once, or gives token ids that don't exist, or None for ids, or an error."""

    FAULTS = {  # noqa: RUF012
        "marble": lambda delta: replace(delta, token_ids=(10**7,)),
        "velvet": lambda delta: replace(delta, token_ids=None),
        "copper": lambda _delta: Delta((), "error"),
    }

    def __init__(self, context):
        super().__init__(context)
        self._engine = BrokenEngine(self._engine)

    def start(self, stream):
        prompt = stream.tensors.text("text_input") if "text_input" in stream.tensors else ""
        if "quartz" in prompt:
            raise RuntimeError("the stage failed, and this sentence is for the log only")
        found = [fault for word, fault in self.FAULTS.items() if word in prompt]
        self._engine.fault = found[0] if found else None
        super().start(stream)


TritonPythonModel = python_model(Broken)
