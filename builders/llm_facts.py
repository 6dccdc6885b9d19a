"""What an LLM's manifest and engine folder hold beyond what every engine's do."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from builders.build_steps import Progress
from builders.checkpoint import Checkpoint
from builders.cpu_llm import check_kv_cache
from builders.llm_checkpoint import check_positions, eos_token_ids, vocabulary
from builders.llm_prompt import CHAT_TEMPLATE, added_template, prompt_of
from builders.spec import ModelSpec, Sku
from ensembles.manifest import Prompt


@dataclass(frozen=True)
class LlmFacts:
    """`texts` are files by name; `comparison` says what was compared with transformers."""

    eos_token_ids: tuple[int, ...] = ()
    vocabulary: int = 0
    prompt: Prompt = field(default_factory=Prompt)
    texts: Mapping[str, str] = field(default_factory=dict)
    comparison: str = ""

    def with_ends(self, ids: tuple[int, ...]) -> "LlmFacts":
        """With more ids that end an answer."""
        return replace(self, eos_token_ids=tuple(sorted({*self.eos_token_ids, *ids})))


def read_facts(spec: ModelSpec, sku: Sku, checkpoint: Checkpoint, progress: Progress) -> LlmFacts:
    """From spec and checkpoint; raises `BuildError` for lengths that model or machine lack."""
    check_positions(spec, checkpoint)
    check_kv_cache(spec, sku)
    template, sentence = added_template(spec, checkpoint)
    if sentence:
        progress(sentence)
    return LlmFacts(
        eos_token_ids(checkpoint),
        vocabulary(checkpoint),
        prompt_of(spec),
        {CHAT_TEMPLATE: template} if template else {},
    )
