"""The tables of a spec that only LLMs have: how they generate, are asked, and are checked."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ensembles.manifest import AnswerPolicy, Prompt

Count = Annotated[int, Field(ge=0)]


class SpecFile(BaseModel):
    """A file or table that a human writes: no unknown fields, no changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SamplingSpec(SpecFile):
    """Defaults of an LLM; the same names and defaults as `ensembles.manifest.Sampling`."""

    max_tokens: Annotated[int, Field(ge=1)] = 256
    min_tokens: Count = 0
    temperature: Annotated[float, Field(ge=0, le=100)] = 0.0
    top_k: Count = 0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    repetition_penalty: Annotated[float, Field(gt=0)] = 1.0
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0


StopWord = Annotated[str, Field(min_length=1, max_length=256)]
JinjaFile = Annotated[str, Field(pattern=r"^[^/]+\.jinja$")]
"""Name of a file beside the spec."""


class PromptSpec(SpecFile):
    """How `rag` asks an LLM (`ensembles.manifest.Prompt`, which has the defaults).

    `user_template` has `question` and `sources`. `chat_template` replaces the checkpoint's.
    `tools_template` describes functions instead of the chat template; it has `tools`, and an
    example `call`. `tool_calls`: the syntax of calls, where it is not that of the chat template.
    """

    system: str = Prompt.system
    user_template: JinjaFile | None = None
    chat_template: JinjaFile | None = None
    num_sources: Annotated[int, Field(ge=1)] | None = None
    stop_words: Annotated[tuple[StopWord, ...], Field(max_length=16)] = ()
    tools_template: JinjaFile | None = None
    tool_calls: Literal["hermes", "mistral", "llama3_json"] | None = None


class AnswerSpec(SpecFile):
    """How answers over sources are cited and checked; see `ensembles.manifest.AnswerPolicy`."""

    cite: Literal["model", "attribution"] = "model"
    first_sentence_only: bool = False
    min_grounded: Annotated[float, Field(ge=0, le=1)] = 0.0
    min_similarity: Annotated[float, Field(ge=-1, le=1)] = -1.0
    missing_words_penalty: Annotated[float, Field(ge=0, le=1)] = 0.0
    min_relevance: float | None = None
    relevance_per_tenfold: Annotated[float, Field(ge=0)] = 0.0
    second_quote_margin: Annotated[float, Field(ge=0)] = 0.0
    ungrounded: Literal["answer", "quote", "refuse"] = "answer"
    quote_sentences: Annotated[int, Field(ge=1)] = AnswerPolicy.quote_sentences
    refusal: Annotated[str, Field(min_length=1)] = AnswerPolicy.refusal
