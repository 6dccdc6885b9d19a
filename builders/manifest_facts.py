"""What manifest and engine folder hold beyond the files that a build makes."""

from builders.build_steps import Progress
from builders.checkpoint import Checkpoint, Facts
from builders.checkpoint_files import MODULES
from builders.checkpoint_kind import check_kind
from builders.encoder_checkpoint import encoder_facts
from builders.llm_checkpoint import check_vocabulary, llm_facts
from builders.spec import ModelSpec, Sku


def read_facts(spec: ModelSpec, sku: Sku, checkpoint: Checkpoint, progress: Progress) -> Facts:
    """Reads spec and checkpoint; raises `BuildError` for what model or machine lack."""
    try:
        check_kind(spec, checkpoint.config(), (checkpoint.path / MODULES).is_file())
        check_vocabulary(spec, checkpoint)
        if spec.role == "llm":
            return llm_facts(spec, sku, checkpoint, progress)
        return encoder_facts(spec, checkpoint, progress)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise spec.error(
            f"a JSON file in {checkpoint.path} has a value of another kind than transformers "
            f"writes: {error}"
        ) from error
