"""What OpenAI's chat and completions share: sampling, choices and usage."""

from collections.abc import Sequence
from typing import Any, ClassVar

import orjson
from pydantic import AliasChoices, Field

from gateway.call import Sampling, Usage
from gateway.errors import BadRequest
from gateway.protocols.reading import Body, Each, Json, Refused, StrictBody

MOST_CHOICES = 128
"""Most choices: each of them is a separate request to the model."""


class StreamOptions(Body):
    include_usage: bool | None = False


class SamplingRequest(StrictBody):
    """Fields that both APIs have, and those that vLLM's clients send."""

    ignored: ClassVar[Sequence[str]] = ("user",)
    refused: ClassVar[Refused] = (
        ("this model can't", ("chat_template_kwargs", "logit_bias", "min_p", "stop_token_ids")),
    )

    model: str
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    usage: Any = None
    """OpenRouter's field: it asks for the usage, also in a stream."""
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    min_tokens: int | None = None
    ignore_eos: bool | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = Field(None, validation_alias=AliasChoices("seed", "random_seed"))
    """Mistral's name is `random_seed`."""
    stop: str | Each[str] | None = None
    n: int | None = 1
    structured_outputs: dict[str, Any] | None = None
    guided_json: str | dict[str, Any] | None = None
    guided_regex: str | None = None
    guided_choice: Each[str] | None = None
    guided_grammar: str | None = None
    skip_special_tokens: bool | None = None

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return bool(self.usage or (self.stream_options and self.stream_options.include_usage))


def sampling(request: SamplingRequest, choice: int = 0) -> Sampling:
    """The sampling of one of `n` choices: each adds its number to the seed, so that they differ."""
    stop = [request.stop] if isinstance(request.stop, str) else request.stop or []
    max_tokens = _max_tokens(request)
    return Sampling(
        max_tokens=max_tokens,
        min_tokens=max_tokens if request.ignore_eos else request.min_tokens,
        temperature=request.temperature,
        top_k=0 if request.top_k == -1 else request.top_k,  # vLLM's -1: all tokens
        top_p=request.top_p,
        repetition_penalty=request.repetition_penalty,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        seed=None if request.seed is None else request.seed + choice,
        stop_words=tuple(stop),
    )


def refuse_sampling(request: SamplingRequest) -> None:
    """Raises `BadRequest` for fields that no engine here supports."""
    refuse_but(request, "skip_special_tokens", True)
    if request.ignore_eos and _max_tokens(request) is None:
        raise BadRequest.at("ignore_eos", "max_tokens is needed beside it")


def check_choices(request: SamplingRequest, prompts: int = 1) -> int:
    """The number of choices; raises `BadRequest` for less than 1, or too many for `prompts`."""
    n = 1 if request.n is None else request.n
    if not (n >= 1 and n * prompts <= MOST_CHOICES):
        raise BadRequest.at(
            "n", f"{n} given for {prompts} prompts; from 1 to {MOST_CHOICES} answers are possible"
        )
    return n


def refuse_but(request: StrictBody, name: str, possible: Any) -> None:
    """Raises `BadRequest` if the field is given and has not the only possible value."""
    if getattr(request, name) not in (None, possible):
        shown = orjson.dumps(possible).decode()
        raise BadRequest.at(name, f"only {shown} is possible")


def _max_tokens(request: SamplingRequest) -> int | None:
    old, new = request.max_tokens, request.max_completion_tokens
    if None not in (old, new) and old != new:
        raise BadRequest.at(
            "max_tokens", f"{old} given, and max_completion_tokens: {new}; they are one setting"
        )
    return old if new is None else new


def usage(tokens: Usage) -> Json:
    return {
        "prompt_tokens": tokens.input_tokens,
        "completion_tokens": tokens.output_tokens,
        "total_tokens": tokens.input_tokens + tokens.output_tokens,
        "prompt_tokens_details": {"cached_tokens": tokens.cached_tokens},
    }


def total(usages: list[Usage]) -> Usage:
    """The sum of the tokens of several answers."""
    return Usage(
        sum(each.input_tokens for each in usages),
        sum(each.output_tokens for each in usages),
        sum(each.cached_tokens for each in usages),
    )
