"""The server that will load the repository, as the options describe it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Settings of the server, by the names of its own options where it has them."""

    model_config_name: str = ""
    auto_complete: bool = True
    """False stands for --disable-auto-complete-config."""
    check_files: bool = True
    """Whether model files and version folders are looked for at all."""
