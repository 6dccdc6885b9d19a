"""Bodies of Triton's own protocol that would kill it, or that it reads as something else."""

from typing import Any

import pytest

from gateway.errors import BadRequest
from gateway.protocols.tensor_checks import check_generate, check_infer


def tensor(shape: Any, datatype: str = "FP32", **more: Any) -> dict[str, Any]:
    return {"name": "x", "shape": shape, "datatype": datatype, **more}


def behind(size: Any) -> dict[str, Any]:
    return {"parameters": {"binary_data_size": size}}


@pytest.mark.parametrize(
    ("given", "behind_bytes"),
    [
        (tensor([2], data=[1, 2.5]), 0),
        (tensor([2, 1], data=[[1], [2]]), 0),
        (tensor([], data=[1]), 0),
        (tensor([0], data=[]), 0),
        (tensor([0], "BYTES", **behind(0)), 0),
        (tensor([2, 2], "INT64", **behind(32)), 32),
        (tensor([2], "BYTES", **behind(13)), 13),
    ],
)
def test_a_tensor_has_as_many_values_as_its_shape_says(given, behind_bytes):
    check_infer({"inputs": [given]}, behind_bytes)


@pytest.mark.parametrize(
    ("given", "behind_bytes", "field", "said"),
    [
        (tensor([2**63 - 1], data=[1.0]), 0, "inputs[0].shape", "sizes from 0 to"),
        (tensor([2**31 - 1] * 3, data=[1.0]), 0, "inputs[0].data", "1 values given"),
        (tensor([1] * 9, data=[1.0]), 0, "inputs[0].shape", "at most 8 sizes"),
        (tensor([5], data=[1.0]), 0, "inputs[0].data", "1 values given; its shape has 5"),
        (tensor([1], data=[[1.0], [2.0]]), 0, "inputs[0].data", "2 values given"),
        (tensor([1]), 0, "inputs[0].data", "a list is needed, or binary_data_size"),
        (tensor([1], data=[1.0], **behind(4)), 4, "inputs[0].data", "a list is needed, or"),
        (tensor([2], **behind(4)), 4, "inputs[0].parameters.binary_data_size", "of 8 bytes"),
        (tensor([1], **behind(8)), 8, "inputs[0].parameters.binary_data_size", "of 4 bytes"),
        (tensor([1], **behind(-4)), 0, "inputs[0].parameters.binary_data_size", "of 4 bytes"),
        (tensor([2], "BYTES", **behind(7)), 7, "inputs[0].parameters", "of 8 bytes and more"),
        (tensor([1], **behind(4)), 5, "inputs", "5 bytes are behind the JSON"),
        (tensor([1], data=[1.0]), 4, "inputs", "4 bytes are behind the JSON"),
        (
            tensor([1], parameters={"shared_memory_region": "a"}),
            0,
            "inputs[0]",
            "shared memory is not offered",
        ),
    ],
)
def test_a_tensor_that_is_not_what_its_shape_says(given, behind_bytes, field, said):
    with pytest.raises(BadRequest) as refused:
        check_infer({"inputs": [given]}, behind_bytes)
    assert str(refused.value).startswith(field)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("outputs", "field"),
    [
        (5, "outputs:"),
        (None, "outputs:"),
        ([5], "outputs[0]:"),
        ([{}], "outputs[0]:"),
        ([{"name": "y", "parameters": 5}], "outputs[0].parameters:"),
        ([{"name": "y", "parameters": {"shared_memory_region": "a"}}], "outputs[0]:"),
    ],
)
def test_outputs_that_are_none(outputs, field):
    with pytest.raises(BadRequest) as refused:
        check_infer({"inputs": [tensor([1], data=[1.0])], "outputs": outputs})
    assert str(refused.value).startswith(field)


def test_what_a_stream_needs_is_said():
    check_generate("rag", {"question": "a", "parameters": {"documents": ["b"]}})
    with pytest.raises(BadRequest, match=r"^question: missing$"):
        check_generate("rag", {"documents": ["b"]})
