"""Which models a measurement was made with; a page without them could be of the tests' models."""

from collections.abc import Mapping

from builders.repository import engine_link
from ensembles.manifest import read_manifest

ROLES = ("embedder", "reranker", "reader", "llm")


def served_models() -> dict[str, str]:
    """Name and precision of what plays each role in the repository of MODEL_REPOSITORY."""
    manifests = {role: read_manifest(engine_link(role)) for role in ROLES}
    return {role: f"{found.model} ({found.precision})" for role, found in manifests.items()}


def in_words(models: Mapping[str, str]) -> str:
    return ", ".join(f"{role} {name}" for role, name in models.items())
