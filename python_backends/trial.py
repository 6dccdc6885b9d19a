"""Tries an engine folder with the code that will serve it; a build runs it, without Triton.

    python -m python_backends.trial prompt   question.json answer.json
    python -m python_backends.trial generate question.json answer.json
    python -m python_backends.trial encode   question.json answer.json

The question holds the arguments of `try_prompt`, `generate` or `encode`. The answer is what that
returns, or {"error": "…"} where the folder can't be served as it is.
"""

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ensembles.contracts import PROMPT_BUILDER, SOURCES
from ensembles.manifest import ManifestError, read_manifest
from python_backends.context import EngineFolder, StageContext
from python_backends.engines.llm_engine import Delta, GenerationParams, LlmEngine
from python_backends.engines.load import load_llm_engine
from python_backends.errors import MachineError, RequestError
from python_backends.generation.chat_template import ChatTemplate
from python_backends.stage import Stage
from python_backends.stages.encoder import EmbedderStage, EncoderStage, RerankerStage
from python_backends.stages.pair_tokenizer import PairTokenizerStage
from python_backends.stages.prompt_builder import PromptBuilderStage
from python_backends.stages.tokenizer import TokenizerStage
from python_backends.tensors import Tensors
from python_backends.tokenization import load_tokenizer
from python_backends.tool_calls.detection import syntax_of
from python_backends.tool_calls.prompts import ToolPrompts

TEMPLATES_CPU_S = 10.0
"""Limit for rendering the templates with a sample question; usually that takes milliseconds."""

QUESTION = "Which port does the gateway listen on?"
SAMPLE_SOURCES = (
    "The gateway listens on port 8123 and answers within 250 ms.",
    "A log of every request is kept for thirty days.",
    "The pump of the second hall has a limit of 4.2 bar.",
)


def try_prompt(folder: str) -> dict[str, Any]:
    """The prompt of a sample question, the ids that end an answer in the chat template, and the
    syntax in which it writes tool calls (empty: it knows no tools)."""
    opened = EngineFolder(Path(folder), read_manifest(Path(folder)))
    with _bounded():
        return _tried_prompt(opened)


class _TooSlow(BaseException):
    """A BaseException, so that no `except Exception` in or around a template catches it."""


@contextmanager
def _bounded() -> Iterator[None]:
    """Limits templates, programs of the checkpoint that may not end; raises `ManifestError`."""

    def end(*_: object) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, TEMPLATES_CPU_S)
    try:
        yield
    except _TooSlow:
        raise ManifestError(
            f"its chat template or its prompt takes more than {TEMPLATES_CPU_S:g} s of CPU for a "
            "sample question; milliseconds are usual"
        ) from None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


def _tried_prompt(opened: EngineFolder) -> dict[str, Any]:
    tokenizer = load_tokenizer(opened)
    template = ChatTemplate.load(opened)
    prompt = template.render(json.loads(_sample_messages(opened)))
    for text in (QUESTION, SAMPLE_SOURCES[0]):
        if text not in prompt:
            raise ManifestError(f"the prompt of a sample question leaves out '{text}'")
    added = {t.content for t in tokenizer.get_added_tokens_decoder().values() if t.content.strip()}
    tail = tokenizer.encode(template.after_answer(), add_special_tokens=False)
    ends = [i for i, token in zip(tail.ids, tail.tokens, strict=True) if token in added]
    ids = tokenizer.encode(prompt, add_special_tokens=False).ids
    ToolPrompts(opened.manifest.prompt)  # raises for a text that is no template
    return {"prompt_ids": ids, "end_of_turn": ends[:1], "tool_calls": syntax_of(template)}


def _sample_messages(folder: EngineFolder) -> str:
    stage = PromptBuilderStage(_context(folder.path, {}))
    scores = np.linspace(1, 0, len(SAMPLE_SOURCES), dtype=np.float32)
    values = {s.name: scores for s in SOURCES} | {"sources": _strings(*SAMPLE_SOURCES)}
    values["source_document"] = np.arange(len(SAMPLE_SOURCES), dtype=np.int32)
    try:
        answer = stage.answer(Tensors({"question": _strings(QUESTION)} | values))
    except RequestError as error:
        raise ManifestError(
            f"the prompt of a sample question does not fit: {error}; raise max_tokens in its spec, "
            "or lower sampling.max_tokens"
        ) from error
    return str(answer[PROMPT_BUILDER.outputs[0].name][0])


def _strings(*texts: str) -> Any:
    return np.array([text.encode() for text in texts], dtype=np.object_)


def generate(
    folder: str, parameters: Mapping[str, str], prompts: Sequence[Sequence[int]], max_tokens: int
) -> dict[str, Any]:
    """The greedy ids after each prompt, computed alone and all together."""
    context = _context(Path(folder), parameters)
    engine = load_llm_engine(context, context.engine_folder())
    try:
        alone = [_generate(engine, [prompt], max_tokens)[0] for prompt in prompts]
        return {"alone": alone, "together": _generate(engine, prompts, max_tokens)}
    finally:
        engine.close()


def _generate(
    engine: LlmEngine, prompts: Sequence[Sequence[int]], max_tokens: int
) -> list[list[int]]:
    params = GenerationParams(max_tokens=max_tokens, seed=0, stop_words=())
    answers = [_Answer() for _ in prompts]
    for prompt, answer in zip(prompts, answers, strict=True):
        engine.submit(prompt, params, answer.take)
    return [answer.wait() for answer in answers]


class _Answer:
    """Collects the ids of one request."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._over = threading.Event()
        self._reason = ""

    def take(self, delta: Delta) -> None:
        self._ids += delta.token_ids
        if delta.finish_reason:
            self._reason = delta.finish_reason
            self._over.set()

    def wait(self) -> list[int]:
        self._over.wait()
        if self._reason == "error":
            raise ManifestError("the engine ended a request with an error: build/logs/ says which")
        return self._ids


def encode(
    folder: str, parameters: Mapping[str, str], query: str, texts: Sequence[str]
) -> dict[str, Any]:
    """The rows of an encoder for each text, computed alone and all together."""
    limits = dict.fromkeys(("max_texts", "max_passages"), str(len(texts)))
    limits["max_question_tokens"] = "1"  # no question is asked
    context = _context(Path(folder), limits | dict(parameters))
    is_embedder = context.engine_folder().manifest.role == "embedder"
    stage = _loaded(EmbedderStage if is_embedder else RerankerStage, context)
    ask = partial(_embedder_rows if is_embedder else _reranker_rows, context, query)
    requests = [ask([text]) for text in texts]
    alone = [stage.run([request])[0] for group in zip(*requests, strict=True) for request in group]
    together = [stage.run(list(ask(texts)))]
    output = stage.contract.outputs[0].name
    return {"alone": _rows(alone, output), "together": _rows(together[0], output)}


def _loaded(kind: type[EncoderStage], context: StageContext) -> EncoderStage:
    """Raises `ManifestError` when the engine's library refuses the model."""
    try:
        return kind(context)
    except RuntimeError as error:
        said = [line for line in str(error).splitlines() if line.strip()] or ["no message"]
        raise ManifestError(
            f"its placement's engine '{context.parameters['engine']}' can't load it: {said[-1]}"
        ) from error


def _embedder_rows(context: StageContext, query: str, texts: Sequence[str]) -> list[Tensors]:
    """The texts with the input types text, query and passage."""
    tokenizer = TokenizerStage(context)
    values = {"input_text": _strings(*texts)}
    kinds: tuple[dict[str, Any], ...] = (
        {},
        {"input_type": _strings("query")},
        {"input_type": _strings("passage")},
    )
    return [_asked(tokenizer, values | kind) for kind in kinds]


def _reranker_rows(context: StageContext, query: str, texts: Sequence[str]) -> list[Tensors]:
    values = {"query": _strings(query), "passages": _strings(*texts)}
    return [_asked(PairTokenizerStage(context), values)]


def _asked(stage: Stage, values: Mapping[str, Any]) -> Tensors:
    return Tensors({n: np.asarray(v) for n, v in stage.answer(Tensors(values)).items()})


def _rows(answers: Sequence[Any], output: str) -> list[list[float]]:
    """Raises `ManifestError` for an answer that is an error."""
    for answer in answers:
        if isinstance(answer, Exception):
            said = " ".join(str(answer).split())
            raise ManifestError(f"the engine can't compute a sample text: {said}") from answer
    return [row for answer in answers for row in np.asarray(answer[output]).tolist()]


class _Unread:
    """Metrics that are not read."""

    def __getattr__(self, _: str) -> Any:
        return lambda *values, **labels: self


def _context(folder: Path, parameters: Mapping[str, str]) -> StageContext:
    """The context of a stage without Triton, which has no other models to call."""
    nobody: Any = None
    return StageContext(
        folder.parent, {"engine_folder": folder.name} | dict(parameters), nobody, _Unread()
    )


_TRIALS: dict[str, Callable[..., dict[str, Any]]] = {
    "prompt": try_prompt,
    "generate": generate,
    "encode": encode,
}


def main(kind: str, question: str, answer: str) -> None:
    """Write the answer to a question; errors that the user can fix are answers too."""
    asked = json.loads(Path(question).read_text(encoding="utf-8"))
    try:
        found = _TRIALS[kind](**asked)
    except (ManifestError, MachineError, RequestError) as error:
        found = {"error": str(error)}
    Path(answer).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
