"""Stages behind Triton's Python backend: contracts, errors, streams, calls and request metrics."""

import json
import logging
import weakref
from concurrent.futures import Future

import numpy as np
import pytest

from ensembles.contracts import EMBEDDER, LLM, ModelContract
from ensembles.ensemble import ENSEMBLE
from ensembles.manifest import ManifestError
from ensembles.metrics import BATCH_REQUESTS, OUTCOMES, REQUEST_DURATION, REQUESTS
from ensembles.tensors import DType, optional, tensor
from python_backends.errors import Cancelled, MachineError, Overloaded, RequestError
from python_backends.stage import Stage, StreamingStage
from python_backends.tensors import NUMPY_TYPES
from python_backends.triton.adapter import DecoupledModel, PlainModel, python_model
from python_backends.triton.bls import (
    IN_BAND_ERRORS,
    QUEUE_FULL,
    RESPONSES_KEPT_S,
    TRACEPARENT,
    ServerCaller,
)
from python_backends.triton.responses import to_array
from python_backends.triton.telemetry import Telemetry
from tests.fakes import triton_stub
from tests.fakes.serving import FakeMeter, strings
from tests.fakes.triton_stub import InferenceRequest, InferenceResponse, Tensor, TritonError

UPPER = ModelContract(
    "upper",
    (tensor("text", DType.STRING, 1), optional("times", DType.INT32, 1)),
    (tensor("loud", DType.STRING, 1), tensor("length", DType.INT32, 1)),
)
NEUTRAL = "the model failed on this request; see the server's log"


def plain(stage: Stage, meter: FakeMeter | None = None) -> PlainModel:
    return PlainModel(stage, Telemetry(meter or FakeMeter(), None))


def decoupled(stage: StreamingStage, meter: FakeMeter | None = None) -> DecoupledModel:
    return DecoupledModel(stage, Telemetry(meter or FakeMeter(), None))


class Upper(Stage):
    """Upper case, with a fault for each word that asks for one."""

    contract = UPPER

    def answer(self, request):
        text = request.text("text")
        match text:
            case "refuse":
                raise RequestError("text: refuse given; anything else is possible")
            case "full":
                raise Overloaded("no room")
            case "bug":
                raise KeyError("/secret/path")
            case "lacking":
                return {"loud": [text]}
            case "surplus":
                return {"loud": [text], "length": np.array([1], np.int32), "more": [text]}
            case "mistyped":
                return {"loud": [text], "length": np.array([1.5])}
            case "misshaped":
                return {"loud": [text, text], "length": np.array([1], np.int32)}
        times = request.scalar("times") or 1
        return {"loud": [text.upper() * times], "length": np.array([len(text)], np.int32)}


def request(text: str | None, parameters=None, **others) -> InferenceRequest:
    inputs = [] if text is None else [Tensor("text", strings(text))]
    inputs += [Tensor(name, value) for name, value in others.items()]
    return InferenceRequest(inputs, parameters=parameters)


def execute(*requests: InferenceRequest) -> list[InferenceResponse]:
    return plain(Upper()).execute(list(requests))


def test_tensors_go_in_and_come_out(pb):
    (response,) = execute(request("ab", times=np.array([2], np.int32)))
    assert response.outputs()["loud"].tolist() == [b"ABAB"]
    assert response.outputs()["length"].tolist() == [2]


def test_a_missing_input_is_refused_with_its_name_type_and_shape(pb):
    (response,) = execute(request(None))
    assert response.error().message() == "input 'text' is missing (text STRING[1])"
    assert response.error().code() == TritonError.INVALID_ARG


class Count(Stage):
    contract = ModelContract(
        "count",
        (
            tensor("rows", DType.FP32, "texts", "width"),
            optional("texts", DType.STRING, "texts"),
            optional("row", DType.FP32, 1, "width"),
        ),
        (tensor("count", DType.INT32, 1),),
    )

    def answer(self, request):
        return {"count": np.array([len(request.array("rows"))], np.int32)}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"texts": strings("a", "b")}, None),
        ({"texts": strings("a")}, "texts: 1 texts given; rows has 2"),
        ({"row": np.zeros((1, 4), np.float32)}, "row: 4 width given; rows has 3"),
    ],
)
def test_sizes_that_the_contract_gives_one_name_are_equal(pb, given, says):
    inputs = [Tensor(name, array) for name, array in given.items()]
    rows = Tensor("rows", np.zeros((2, 3), np.float32))
    (response,) = plain(Count()).execute([InferenceRequest([rows, *inputs])])
    assert (response.error() and response.error().message()) == says


@pytest.mark.parametrize(
    "fault", ["refuse", "full", "bug", "lacking", "surplus", "mistyped", "misshaped", None]
)
def test_an_error_fails_its_own_request_only(pb, fault):
    before, bad, after = execute(request("a"), request(fault), request("b"))
    assert bad.has_error()
    assert before.outputs()["loud"].tolist() == [b"A"]
    assert after.outputs()["loud"].tolist() == [b"B"]


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        ("refuse", "INVALID_ARG", "text: refuse given; anything else is possible"),
        ("full", "UNAVAILABLE", "no room"),
        ("bug", "INTERNAL", NEUTRAL),
        ("lacking", "INTERNAL", NEUTRAL),
        ("surplus", "INTERNAL", NEUTRAL),
        ("mistyped", "INTERNAL", NEUTRAL),
        ("misshaped", "INTERNAL", NEUTRAL),
    ],
)
def test_clients_read_request_errors_and_one_sentence_for_server_errors(pb, fault, code, message):
    (response,) = execute(request(fault))
    assert response.error().message() == message
    assert response.error().code() == getattr(TritonError, code)
    (in_band,) = execute(request(fault, parameters={IN_BAND_ERRORS: True}))
    assert in_band.error().message() == f"{code}: {message}", "callers inside get the code too"


def test_server_errors_are_logged_and_request_errors_are_not(pb, caplog):
    with caplog.at_level(logging.INFO):
        execute(request("bug"))
        assert "KeyError: '/secret/path'" in caplog.text
        assert "test_adapter.py" in caplog.text
        caplog.clear()
        execute(request("refuse"), request(None), request("full"))
    assert caplog.text == ""


def test_the_log_holds_no_text_of_requests(pb, caplog):
    class Forgetful(Upper):
        def answer(self, request):
            text = request.text("text")
            return {"loud": [text]}

    plain(Forgetful()).execute([request("my secret question")])
    assert "differ from its contract" in caplog.text
    assert "secret" not in caplog.text


def test_a_stage_that_fails_on_a_batch_fails_each_request(pb):
    class Broken(Upper):
        def run(self, batch):
            raise MemoryError

    responses = plain(Broken()).execute([request("a"), request(None), request("b")])
    assert [r.error().message() for r in responses] == [
        NEUTRAL,
        "input 'text' is missing (text STRING[1])",
        NEUTRAL,
    ]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_stage_that_gives_another_number_of_answers_fails_them_all(pb, count, caplog):
    class Miscounting(Upper):
        def run(self, batch):
            return [self.answer(batch[0])] * count

    responses = plain(Miscounting()).execute([request("a"), request(None), request("b")])
    assert [r.error().message() for r in responses] == [
        NEUTRAL,
        "input 'text' is missing (text STRING[1])",
        NEUTRAL,
    ], "nobody gets the answer of a neighbour"
    assert f"{count} answers to 2 requests" in caplog.text


@pytest.mark.parametrize("dtype", DType)
def test_every_type_of_the_contracts_has_its_array_type(dtype):
    assert NUMPY_TYPES[dtype] in triton_stub._TYPES


def test_texts_become_utf_8_bytes_even_when_there_are_none():
    spec = tensor("t", DType.STRING, "n")
    assert to_array(spec, ["é", ""], False).tolist() == ["é".encode(), b""]
    none = to_array(spec, [], False)
    assert (none.shape, none.dtype) == ((0,), np.dtype(object))
    with pytest.raises(TypeError, match="output 'e' is float64"):
        to_array(tensor("e", DType.FP32, 1), np.array([1.0]), False)


VECTORS = tensor("v", DType.FP32, "n", 3)


@pytest.mark.parametrize(
    ("batched", "shape"), [(False, (2, 3)), (False, (0, 3)), (True, (4, 2, 3))]
)
def test_an_output_has_the_rank_and_the_fixed_sizes_of_its_contract(batched, shape):
    assert to_array(VECTORS, np.zeros(shape, np.float32), batched).shape == shape


@pytest.mark.parametrize(
    ("batched", "shape"),
    [(False, (3,)), (False, (2, 4)), (False, (1, 2, 3)), (False, ()), (True, (2, 3))],
)
def test_an_output_of_another_shape_is_an_error(batched, shape):
    with pytest.raises(TypeError, match=r"output 'v' is float32\[.*\], not v FP32\[n, 3\]"):
        to_array(VECTORS, np.zeros(shape, np.float32), batched)


# --- streams -----------------------------------------------------------------------------------


class Parrot(StreamingStage):
    """Keeps the streams; a text of "refuse" is refused at once."""

    contract = LLM

    def __init__(self, contract=LLM):
        self.contract = contract
        self.streams = []

    def start(self, stream):
        if "text_input" in stream.tensors and stream.tensors.text("text_input") == "refuse":
            raise RequestError("text_input: refuse given")
        if "text_input" in stream.tensors and stream.tensors.text("text_input") == "bug":
            raise KeyError("/secret")
        self.streams.append(stream)

    def close(self):
        self.streams.clear()


def ask(text: str, shape=(1,), **fields) -> InferenceRequest:
    inputs = [Tensor("text_input", strings(text).reshape(shape))]
    if len(shape) > 1:
        inputs.append(Tensor("max_tokens", np.array([[5]], np.int32)))
    return InferenceRequest(inputs, **fields)


def test_responses_of_a_stream_may_lack_outputs_and_end_once(pb):
    parrot, asked = Parrot(), ask("hi", request_id="r1", timeout=7)
    assert decoupled(parrot).execute([asked]) is None
    (stream,) = parrot.streams
    assert (stream.id, stream.timeout_us, stream.is_cancelled()) == ("r1", 7, False)
    stream.send({"text_output": ["a"]})
    stream.send({"text_output": ["b"], "finish_reason": ["stop"]}, final=True)
    assert [flags for _, flags in asked.sender.sent] == [0, 1]
    assert [r.outputs()["text_output"][0] for r, _ in asked.sender.sent] == [b"a", b"b"]


@pytest.mark.parametrize(
    ("given", "timeout_us"),
    [
        ({"timeout": 7}, 7),
        ({"parameters": {"timeout": 9}}, 9),
        ({"parameters": {"x": "timeout"}}, 0),
    ],
)
def test_a_deadline_is_kept_where_it_can_be_and_refused_elsewhere(pb, given, timeout_us):
    """`/generate` of Triton 2.51 leaves it among the parameters."""
    parrot = Parrot()
    decoupled(parrot).execute([ask("hi", **given)])
    assert parrot.streams[0].timeout_us == timeout_us
    (response,) = execute(InferenceRequest(request("ab").inputs(), **given))
    says = response.error().message() if response.has_error() else ""
    assert says.startswith(f"timeout: {timeout_us} us asked for; only llm" if timeout_us else "")
    assert response.has_error() == bool(timeout_us)


@pytest.mark.parametrize("given", ["7", -1, 1.5, True, None, [7]])
def test_a_deadline_that_is_no_number_of_microseconds_is_refused(pb, given):
    asked = ask("hi", parameters={"timeout": given})
    decoupled(Parrot()).execute([asked])
    says = f"timeout: {given!r} given; a whole number of microseconds is needed"
    assert asked.sender.sent[0][0].error().message() == says


def test_nothing_is_sent_or_asked_after_the_final_response(pb):
    parrot, asked = Parrot(), ask("hi")
    decoupled(parrot).execute([asked])
    (stream,) = parrot.streams
    stream.send({"text_output": ["a"]}, final=True)
    asked.sender.cancelled = True
    stream.send({"text_output": ["late"]})
    stream.fail(RequestError("late"))
    assert stream.is_cancelled() is False
    assert len(asked.sender.sent) == 1


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [("refuse", "INVALID_ARG", "text_input: refuse given"), ("bug", "INTERNAL", NEUTRAL)],
)
def test_a_stream_that_is_refused_ends_with_its_error(pb, text, code, message):
    parrot, good, bad = Parrot(), ask("hi"), ask(text)
    decoupled(parrot).execute([bad, good])
    ((response, flags),) = bad.sender.sent
    assert (response.error().message(), flags) == (message, 1)
    assert response.error().code() == getattr(TritonError, code)
    assert len(parrot.streams) == 1, "its neighbour is served"


@pytest.mark.parametrize("contract", [LLM, ENSEMBLE.contract], ids=lambda c: c.name)
def test_callers_inside_the_server_get_a_streams_error_as_its_last_response(pb, contract):
    shape = (1, 1) if contract.batched else (1,)
    asked = ask("refuse", shape, parameters={IN_BAND_ERRORS: True})
    decoupled(Parrot(contract)).execute([asked])
    ((response, flags),) = asked.sender.sent
    assert not response.has_error()
    assert flags == 1
    assert response.outputs()["text_output"].reshape(-1)[0] == (
        b"INVALID_ARG: text_input: refuse given"
    )
    assert response.outputs()["finish_reason"].reshape(-1)[0] == b"error"


def test_a_batch_dimension_is_taken_off_and_put_back(pb):
    parrot, asked = Parrot(ENSEMBLE.contract), ask("hi", (1, 1))
    decoupled(parrot).execute([asked])
    (stream,) = parrot.streams
    assert stream.tensors.array("text_input").shape == (1,)
    stream.send(
        {
            "text_output": ["a"],
            "finish_reason": ["stop"],
            "num_input_tokens": np.array([3], np.int32),
        },
        final=True,
    )
    shapes = {name: a.shape for name, a in asked.sender.sent[0][0].outputs().items()}
    assert shapes == {"text_output": (1,), "finish_reason": (1, 1), "num_input_tokens": (1, 1)}


def test_a_row_with_a_batch_dimension_of_its_own_is_not_sent(pb):
    parrot, asked = Parrot(ENSEMBLE.contract), ask("hi", (1, 1))
    decoupled(parrot).execute([asked])
    with pytest.raises(TypeError, match="output 'num_input_tokens'"):
        parrot.streams[0].send({"num_input_tokens": np.array([[3]], np.int32)})
    assert asked.sender.sent == []


def test_a_stream_without_a_batch_dimension_gets_none(pb):
    parrot, asked = Parrot(), ask("hi")
    decoupled(parrot).execute([asked])
    parrot.streams[0].send({"text_output": ["a"], "num_input_tokens": np.array([3], np.int32)})
    shapes = {name: a.shape for name, a in asked.sender.sent[0][0].outputs().items()}
    assert shapes == {"text_output": (1,), "num_input_tokens": (1,)}


def test_responses_hold_only_outputs_that_were_asked_for(pb):
    """Triton drops them from a stream's responses in a way that damages memory (0018)."""
    parrot = Parrot()
    asked = InferenceRequest(ask("hi").inputs(), requested_output_names=["text_output"])
    decoupled(parrot).execute([asked])
    parrot.streams[0].send({"text_output": ["a"], "num_input_tokens": np.array([3], np.int32)})
    parrot.streams[0].send({"num_input_tokens": np.array([3], np.int32)})
    assert [list(r.outputs()) for r, _ in asked.sender.sent] == [["text_output"], []]
    loud = InferenceRequest([Tensor("text", strings("ab"))], requested_output_names=["loud"])
    assert list(execute(loud)[0].outputs()) == ["loud"]


# --- calls of other models ---------------------------------------------------------------------


def test_a_call_gives_tensors_by_name_and_asks_for_all_outputs(pb):
    def embedder(asked):
        assert asked.requested_output_names() == ["embedding"]
        assert json.loads(asked.parameters()) == {IN_BAND_ERRORS: True}
        (ids,) = (t.as_numpy() for t in asked.inputs())
        return [InferenceResponse([Tensor("embedding", ids.astype(np.float32))])]

    triton_stub.models["embedder"] = embedder
    answer = ServerCaller().call(EMBEDDER, {"input_ids": np.array([[1, 2]], np.int64)})
    assert answer["embedding"].tolist() == [[1, 2]]


@pytest.mark.parametrize("error", [RequestError("a: b: c"), Overloaded("x"), Cancelled("y")])
def test_an_error_of_a_called_model_is_raised_again(pb, error):
    class Refusing(Upper):
        def answer(self, request):
            raise error

    triton_stub.models["upper"] = lambda asked: plain(Refusing()).execute([asked])
    with pytest.raises(type(error)) as caught:
        ServerCaller().call(UPPER, {"text": strings("x")})
    assert type(caught.value) is type(error)
    assert str(caught.value) == str(error)


def test_a_server_error_of_a_called_model_is_no_request_error(pb):
    triton_stub.models["upper"] = lambda asked: plain(Upper()).execute([asked])
    with pytest.raises(RuntimeError, match="INTERNAL"):
        ServerCaller().call(UPPER, {"text": strings("bug")})


@pytest.mark.parametrize("message", [QUEUE_FULL, f"[request id: <id_unknown>] {QUEUE_FULL}"])
def test_a_full_queue_of_triton_is_overload(pb, message):
    full = InferenceResponse(error=TritonError(message, TritonError.INTERNAL))
    triton_stub.models |= {"embedder": lambda _: [full], "llm": lambda _: [full]}
    with pytest.raises(Overloaded, match="Exceeds maximum queue size"):
        ServerCaller().call(EMBEDDER, {"input_ids": np.array([[1, 2]], np.int64)})
    with pytest.raises(Overloaded, match="Exceeds maximum queue size"):
        next(ServerCaller().stream(LLM, {"text_input": strings("hi")}, "id-7"))


def test_a_streamed_call_gives_each_response_and_raises_its_error(pb):
    def llm(asked):
        parrot = Parrot()
        decoupled(parrot).execute([asked])
        for stream in parrot.streams:
            stream.send({"text_output": ["a"]})
            stream.fail(Overloaded("no room"))
        return [*(response for response, _ in asked.sender.sent), InferenceResponse()]

    triton_stub.models["llm"] = llm
    answers = ServerCaller().stream(LLM, {"text_input": strings("hi")}, "id-7")
    assert next(answers)["text_output"].tolist() == [b"a"]
    with pytest.raises(Overloaded, match=r"^no room$"):
        next(answers)


class Responses:
    """The answers of one stream; can be watched by a weak reference, unlike a generator's frame."""

    def __init__(self, *answers: InferenceResponse) -> None:
        self._left = list(answers)

    def __iter__(self):
        return self

    def __next__(self):
        if not self._left:
            raise StopIteration
        return self._left.pop(0)


@pytest.mark.parametrize("is_left_early", [False, True])
def test_responses_of_a_stream_are_kept_for_a_while_after_its_end(pb, monkeypatch, is_left_early):
    """Triton must not be the last to let go of it (docs/decisions/0018)."""
    now = [0.0]
    monkeypatch.setattr("python_backends.triton.bls.time.monotonic", lambda: now[0])
    made = []

    def llm(asked):
        responses = Responses(*[InferenceResponse([Tensor("text_output", strings("a"))])] * 2)
        made.append(weakref.ref(responses))
        return responses

    triton_stub.models["llm"] = llm
    caller = ServerCaller()
    for _ in range(3):
        answers = caller.stream(LLM, {}, "id-7")
        assert next(answers)["text_output"].tolist() == [b"a"]
        if is_left_early:
            answers.close()
        else:
            list(answers)
        now[0] += 0.6 * RESPONSES_KEPT_S
    assert [responses() is None for responses in made] == [True, False, False]


def test_calls_carry_the_traceparent(pb):
    seen = []

    def embedder(asked):
        seen.append(json.loads(asked.parameters()))
        return [InferenceResponse([Tensor("embedding", np.zeros((1, 1), np.float32))])]

    def llm(asked):
        seen.append(json.loads(asked.parameters()))
        return []

    triton_stub.models |= {"embedder": embedder, "llm": llm}
    ServerCaller().call(EMBEDDER, {}, "00-a-b-01")
    list(ServerCaller().stream(LLM, {}, "id-7", "00-a-b-01"))
    assert seen == [{IN_BAND_ERRORS: True, TRACEPARENT: "00-a-b-01"}] * 2


# --- metrics -----------------------------------------------------------------------------------


def counts(meter: FakeMeter) -> dict[str, float]:
    found = {outcome: meter[REQUESTS, outcome].sum for outcome in OUTCOMES}
    return {outcome: count for outcome, count in found.items() if count}


def test_requests_of_a_batch_are_counted_by_outcome(pb):
    meter = FakeMeter()
    words = ("a", "b", "refuse", "full", "bug", "lacking", None)
    plain(Upper(), meter).execute([request(word) for word in words])
    assert counts(meter) == {"ok": 2, "invalid": 2, "overloaded": 1, "failed": 2}
    assert meter[BATCH_REQUESTS].values == [7]
    assert len(meter[REQUEST_DURATION].values) == 7
    assert all(0 < seconds < 10 for seconds in meter[REQUEST_DURATION].values)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (lambda s: s.send({"text_output": ["a"]}, final=True), {"ok": 1}),
        (lambda s: s.send({"text_output": ["a"]}, final=True, outcome="cancelled"),
         {"cancelled": 1}),
        (lambda s: s.send({"text_output": ["a"]}, final=True, outcome=None), {}),
        (lambda s: s.fail(Cancelled("gone")), {"cancelled": 1}),
        (lambda s: s.fail(Overloaded("full")), {"overloaded": 1}),
        (lambda s: s.fail(KeyError("bug")), {"failed": 1}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("parameters", [None, {IN_BAND_ERRORS: True}])
def test_a_stream_is_counted_once_when_it_ends(pb, end, expected, parameters):
    parrot, meter = Parrot(), FakeMeter()
    decoupled(parrot, meter).execute([ask("hi", parameters=parameters)])
    (stream,) = parrot.streams
    stream.send({"text_output": ["a"]})
    assert counts(meter) == {}
    end(stream)
    stream.fail(RequestError("late"))
    assert counts(meter) == expected
    assert len(meter[REQUEST_DURATION].values) == sum(expected.values())


def test_a_stream_that_is_refused_or_cannot_be_sent_is_counted(pb):
    parrot, meter = Parrot(), FakeMeter()
    asked = ask("hi")
    decoupled(parrot, meter).execute([ask("refuse"), ask("bug"), asked])
    assert counts(meter) == {"invalid": 1, "failed": 1}
    asked.sender.send = lambda *_, **__: 1 / 0
    with pytest.raises(ZeroDivisionError):
        parrot.streams[0].send({"text_output": ["a"]}, final=True)
    assert counts(meter) == {"invalid": 1, "failed": 2}


ARGS = {
    "model_name": "llm",
    "model_config": "{}",
    "model_repository": "/m/llm",
    "model_version": "1",
    "model_instance_device_id": "3",
}


@pytest.mark.parametrize("error", [ManifestError, MachineError])
def test_a_model_that_cannot_load_says_why_to_the_operator(pb, error):
    def load(context):
        raise error("no manifest.json in engines/cpu: run 'make build-engines'")

    with pytest.raises(triton_stub.TritonModelException, match="run 'make build-engines'"):
        python_model(load)().initialize(ARGS)


def test_a_stage_learns_the_gpu_of_its_instance(pb):
    seen = []

    def load(context):
        seen.append(context)
        raise ManifestError("enough")

    with pytest.raises(triton_stub.TritonModelException):
        python_model(load)().initialize(ARGS)
    assert seen[0].device_id == 3


@pytest.mark.parametrize(("given", "taken"), [({}, 0), ({"niceness": "10"}, 10)])
def test_niceness_is_set_before_threads_are_made(pb, monkeypatch, given, taken):
    order = []
    monkeypatch.setattr("python_backends.triton.adapter.os.nice", order.append)

    def load(context):
        order.append("load")
        raise ManifestError("enough")

    parameters = {name: {"string_value": value} for name, value in given.items()}
    args = ARGS | {"model_config": json.dumps({"parameters": parameters})}
    with pytest.raises(triton_stub.TritonModelException):
        python_model(load)().initialize(args)
    assert order == [taken, "load"]


class Later(Stage):
    """Answers when the test says so."""

    contract = UPPER

    def __init__(self) -> None:
        self.begun: list[Future] = []

    def run(self, batch):
        self.begun += [Future() for _ in batch[1:]]
        return [self._answer_or_error(batch[0]), *self.begun]

    def answer(self, request):
        return {"loud": [request.text("text")], "length": np.array([1], np.int32)}


def test_what_a_stage_answers_later_is_sent_later(pb):
    stage, meter = Later(), FakeMeter()
    asked = [request("now"), request("later"), request("bad", {IN_BAND_ERRORS: True})]
    now, *none = plain(stage, meter).execute(asked)
    assert now.outputs()["loud"].tolist() == [b"now"]
    assert none == [None, None] and counts(meter) == {"ok": 1}
    stage.begun[0].set_result({"loud": ["a"], "length": np.array([1], np.int32)})
    stage.begun[1].set_exception(RequestError("text: bad"))
    ((response, flags),), ((error, _),) = asked[1].sender.sent, asked[2].sender.sent
    assert response.outputs()["loud"].tolist() == [b"a"]
    assert flags == triton_stub.TRITONSERVER_RESPONSE_COMPLETE_FINAL
    assert error.error().message() == "INVALID_ARG: text: bad"
    assert counts(meter) == {"ok": 2, "invalid": 1}
