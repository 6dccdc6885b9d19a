"""Exports, with optimum-cli, families that it refuses by name but exports correctly.

    python -m builders.openvino_export export openvino …

optimum-intel 2.2 refuses families that it does not name, and families beyond the transformers that
it was tested with. A build may go further, because it compares an engine with transformers before
it publishes it.
"""

from typing import Any

TASK = "text-generation-with-past"

_LIFTED = (
    "Exaone4OpenVINOConfig",
    "GLMOpenVINOConfig",
    "Gemma2OpenVINOConfig",
    "Gemma3TextOpenVINOConfig",
    "GemmaOpenVINOConfig",
)
"""Classes of optimum-intel that hold a bound. A family of each was built and compared."""

_ADDED = {
    "apertus": "LlamaOpenVINOConfig",
    "ernie4_5": "LlamaOpenVINOConfig",
    "granitemoeshared": "GraniteMoEOpenVINOConfig",
    "jais2": "LlamaOpenVINOConfig",
    "ministral": "MistralOpenVINOConfig",
    "ministral3": "MistralOpenVINOConfig",
    "olmo3": "LlamaOpenVINOConfig",
    "seed_oss": "Qwen2OpenVINOConfig",
    "vaultgemma": "Gemma2OpenVINOConfig",
}
"""By model_type, the class for a family that is exported the same way. Each was built and compared.
"""


_WRONG = ("afmoe", "gemma4_text", "gpt_neo", "mpt")
"""By model_type, what optimum-intel 2.2 has a class for, and does not export as transformers 5.5
computes it. Each was tried: Gemma 4 can't be traced, the others answered otherwise."""


def exporter(kind: str) -> Any:
    """The class that exports a model_type as a text generator; None where there is none."""
    from optimum.exporters.tasks import TasksManager

    if kind in _WRONG:
        return None
    _add_families()
    constructor = TasksManager._SUPPORTED_MODEL_TYPE.get(kind, {}).get("openvino", {}).get(TASK)
    return getattr(constructor, "func", constructor)


def _add_families() -> None:
    from optimum.exporters.openvino import model_configs
    from optimum.exporters.tasks import TasksManager

    for name in _LIFTED:
        getattr(model_configs, name).MAX_TRANSFORMERS_VERSION = None
    register = TasksManager.create_register("openvino")
    for kind, name in _ADDED.items():
        register(kind, "text-generation", TASK, library_name="transformers")(
            getattr(model_configs, name)
        )


def main() -> None:
    from optimum.commands import optimum_cli

    _add_families()
    optimum_cli.main()


if __name__ == "__main__":
    main()
