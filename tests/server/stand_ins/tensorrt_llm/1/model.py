"""Answers as NVIDIA's C++ `tensorrtllm` backend would; its "model" says the prompt backwards.

With the parameter `says` "last turn" it says what the last turn of a chat says, so that a test can
tell it what to say: turns are as in the template of tests/models/reference-llm.

What it imitates was read in NVIDIA/TensorRT-LLM,
triton_backend/inflight_batcher_llm/src/model_instance_state.cc (c8c6df08): batch 1, output_ids
[1, beams, tokens], the ids of a response only, an empty final response to a stop request, errors
together with the final flag. The end token is not part of the output, a stop word is.
"""

import json
import threading
import time

import numpy as np
import triton_python_backend_utils as pb

FINAL = pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class BackendError(Exception):
    """A request that the backend refuses."""


def scalar(request, name, default):
    tensor = pb.get_input_tensor_by_name(request, name)
    return default if tensor is None else tensor.as_numpy().reshape(-1)[0].item()


def word_list(request, name):
    """Ids that end the answer: rows of ids and of offsets, here of one id each."""
    tensor = pb.get_input_tensor_by_name(request, name)
    if tensor is None:
        return set()
    ids, offsets = tensor.as_numpy()[0]
    if offsets.tolist() != list(range(1, len(ids) + 1)):
        raise BackendError(f"Sparse list must not have non-increasing offsets: {offsets}")
    return set(ids.tolist())


def response(ids):
    return pb.InferenceResponse(
        [
            pb.Tensor("output_ids", np.array([[ids]], np.int32)),
            pb.Tensor("sequence_length", np.array([[len(ids)]], np.int32)),
        ]
    )


class Generation:
    """One request: what it asks for, and the ids of its answer."""

    def __init__(self, request, max_input_len, says):
        prompt = pb.get_input_tensor_by_name(request, "input_ids").as_numpy()
        if prompt.ndim != 2 or prompt.shape[0] != 1:
            raise BackendError("Expected inputTokens tensors to have 2 dimensions")
        self.prompt = prompt[0][: scalar(request, "input_lengths", 0)].tolist()
        if len(self.prompt) > max_input_len:
            raise BackendError(
                f"[TensorRT-LLM][ERROR] Assertion failed: Prompt length ({len(self.prompt)}) "
                f"exceeds maximum input length ({max_input_len})."
            )
        self.max_tokens = scalar(request, "request_output_len", 0)
        self.min_tokens = scalar(request, "min_tokens", 1)
        self.end_id = scalar(request, "end_id", -1)
        self.stop_ids = word_list(request, "stop_words_list")
        self.streaming = scalar(request, "streaming", False)
        is_greedy = scalar(request, "runtime_top_k", 0) == 1
        self.first = 0 if is_greedy else scalar(request, "seed", 0) % len(self.prompt)
        self.echo = [] if scalar(request, "exclude_input_in_output", False) else self.prompt
        self.is_stopped = False
        self.says = says

    def ids(self):
        return self.last_turn() if self.says == "last turn" else self.backwards()

    def last_turn(self):
        """What is between a role's token and an end token, before the last role's token."""
        end_ids = {self.end_id, *self.stop_ids}
        ends = [-1, *(i for i, token in enumerate(self.prompt) if token in end_ids)]
        for token in self.prompt[ends[-2] + 2 : ends[-1]][: self.max_tokens]:
            if self.is_stopped:
                return
            yield token

    def backwards(self):
        made = 0
        while made < self.max_tokens and not self.is_stopped:
            token = self.prompt[-1 - (self.first + made) % len(self.prompt)]
            if token == self.end_id:
                if made >= self.min_tokens:
                    return
                token = self.prompt[0]
            yield token
            made += 1
            if token in self.stop_ids and made >= self.min_tokens:
                return


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        values = {k: v["string_value"] for k, v in config["parameters"].items()}
        self.delay_s = int(values["token_delay_ms"]) / 1e3
        self.max_input_len = int(values["max_input_len"])
        self.says = values["says"]
        self.is_decoupled = config["model_transaction_policy"]["decoupled"]
        self.active = {}
        self.lock = threading.Lock()
        self.families = []
        self.stops = self.metric("stand_in_stop_requests", pb.MetricFamily.COUNTER)
        self.running = self.metric("stand_in_running", pb.MetricFamily.GAUGE)
        self.most = self.metric("stand_in_most_running", pb.MetricFamily.GAUGE)
        self.made = self.metric("stand_in_tokens", pb.MetricFamily.COUNTER)

    def metric(self, name, kind):
        self.families.append(pb.MetricFamily(name=name, description=name, kind=kind))
        return self.families[-1].Metric(labels={})

    def execute(self, requests):
        if not self.is_decoupled:
            return [self.answer_at_once(request) for request in requests]
        for request in requests:
            sender = request.get_response_sender()
            if scalar(request, "stop", False):
                self.stop(request, sender)
                continue
            try:
                generation = Generation(request, self.max_input_len, self.says)
            except BackendError as error:
                self.fail(sender, error)
                continue
            with self.lock:
                self.active[request.request_id()] = generation
                self.running.set(len(self.active))
                self.most.set(max(self.most.value(), len(self.active)))
            threading.Thread(
                target=self.generate, args=(request.request_id(), generation, sender), daemon=True
            ).start()
        return None

    def answer_at_once(self, request):
        if scalar(request, "streaming", False):
            text = "Streaming is only supported if model is deployed using decoupled mode."
            return pb.InferenceResponse(error=pb.TritonError(text, pb.TritonError.INTERNAL))
        generation = Generation(request, self.max_input_len, self.says)
        return response(generation.echo + list(generation.ids()))

    def stop(self, request, sender):
        """The running one may be over; the answer is empty either way."""
        request_id = request.request_id()
        if not request_id:
            text = "Trying to stop a request but request ID is not provided"
            self.fail(sender, BackendError(text))
            return
        assert pb.get_input_tensor_by_name(request, "input_ids").as_numpy().shape == (1, 1)
        assert scalar(request, "input_lengths", None) == 0
        assert scalar(request, "request_output_len", None) == 0
        self.stops.increment(1)
        with self.lock:
            if generation := self.active.get(request_id):
                generation.is_stopped = True
        sender.send(flags=FINAL)

    def fail(self, sender, error):
        found = pb.TritonError(str(error), pb.TritonError.INTERNAL)
        sender.send(pb.InferenceResponse(error=found), flags=FINAL)

    def generate(self, request_id, generation, sender):
        """A response per id, the last one with the final flag; or one with all."""
        held = [] if generation.streaming else list(generation.echo)
        made = 0
        for token in generation.ids():
            made += 1
            if generation.streaming and held:
                sender.send(response(held))
                held = []
            held.append(token)
            time.sleep(self.delay_s)
        with self.lock:
            del self.active[request_id]
            self.made.increment(made)
            self.running.set(len(self.active))
        sender.send(response(held), flags=FINAL)
