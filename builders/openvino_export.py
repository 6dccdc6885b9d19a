"""optimum-cli for families that it exports right with a newer transformers than it allows.

    python -m builders.openvino_export export openvino …

optimum-intel 2.2 refuses families beyond the transformers that it was tested with. A build may go
further, because it compares an engine with transformers before it publishes it.
"""

LIFTED = {
    "gemma": "GemmaOpenVINOConfig",
    "gemma2": "Gemma2OpenVINOConfig",
    "gemma3_text": "Gemma3TextOpenVINOConfig",
}
"""By model_type, the class of optimum-intel that holds the bound. Each was built and compared."""


def main() -> None:
    from optimum.commands import optimum_cli
    from optimum.exporters.openvino import model_configs

    for name in LIFTED.values():
        getattr(model_configs, name).MAX_TRANSFORMERS_VERSION = None
    optimum_cli.main()


if __name__ == "__main__":
    main()
