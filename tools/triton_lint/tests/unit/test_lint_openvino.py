"""A configuration against OpenVINO's XML, as the cases of server's qa/L0_model_config judge it."""

from pathlib import Path

import pytest
from test_lint_command import rules, run

PORT = '<output><port id="0" names="NAMES"><dim>-1</dim><dim>4</dim></port></output>'
XML = f"""<net name="n" version="11"><layers>
<layer id="0" type="Parameter">{PORT.replace("NAMES", "in,in:0")}</layer>
<layer id="1" type="Relu">{PORT.replace("NAMES", "out,out:0").replace("-1", "1")}</layer>
<layer id="2" type="Result"/>
</layers><edges>
<edge from-layer="0" from-port="0" to-layer="1" to-port="0"/>
<edge from-layer="1" from-port="0" to-layer="2" to-port="0"/>
</edges></net>"""
INPUT = 'input { name: "in" data_type: TYPE_INT32 dims: [ 9, 4 ] }\n'
OUTPUT = 'output { name: "out" data_type: TYPE_FP32 dims: [ 1, 4 ] }\n'


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("", []),
        (INPUT + OUTPUT, []),
        (INPUT.replace(", 4", ", 5") + OUTPUT, ["TRN443"]),
        (INPUT + OUTPUT.replace("1, 4", "2, 4"), ["TRN443"]),
        (INPUT + INPUT.replace('"in"', '"more"') + OUTPUT, ["TRN441"]),
        (INPUT.replace('"in"', '"other"'), ["TRN441", "TRN441"]),  # unknown, and one is lacking
        (INPUT + OUTPUT.replace('"out"', '"other"'), ["TRN441"]),
    ],
)
def test_tensors(
    config: str, expected: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "r" / "m"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.xml").write_text(XML, "utf-8")
    (folder / "config.pbtxt").write_text('backend: "openvino"\n' + config, "utf-8")
    assert rules(run(capsys, tmp_path / "r")[1]) == expected


@pytest.mark.parametrize("data", [b"", b"<net", b"<x/>", XML[:-9].encode(), b"\xff\x00<net/>"])
def test_what_is_no_network_is_left_to_the_backend(
    data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "r" / "m"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.xml").write_bytes(data)
    (folder / "config.pbtxt").write_text('backend: "openvino"\n' + INPUT + OUTPUT, "utf-8")
    assert run(capsys, tmp_path / "r")[0] == 0
