"""Model repositories made for tests, and the linter run over them."""

from pathlib import Path

import pytest
from triton_lint.command import main

GOOD = 'backend: "onnxruntime"\n'
BAD = """backend: "onnxruntime"
metric_tags { key: "a-b" }
input { name: "x" data_type: TYPE_FP32 dims: [ 0 ] }
"""


def write(root: Path, name: str, config: str | bytes | None, version: str = "1") -> Path:
    folder = root / name
    (folder / version).mkdir(parents=True)
    (folder / version / "model.onnx").touch()
    if config is not None:
        data = config if isinstance(config, bytes) else config.encode()
        (folder / "config.pbtxt").write_bytes(data)
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exited:
        main([*map(str, arguments)], prog_name="triton-lint")
    captured = capsys.readouterr()
    return int(exited.value.code or 0), captured.out, captured.err


def rules(output: str) -> list[str]:
    return [line.rpartition("[")[2].rstrip("]") for line in output.splitlines()[:-1]]
