"""`prompt_builder`: question and sources to chat messages that fit the LLM's context."""

import bisect
import json
import re

from ensembles.contracts import PLACES, PROMPT_BUILDER, SOURCES
from ensembles.manifest import ManifestError
from python_backends.context import StageContext
from python_backends.errors import RequestError
from python_backends.generation.chat_template import ChatTemplate, strict_template
from python_backends.generation.messages import Message
from python_backends.stage import Stage
from python_backends.tensors import Outputs, Tensors
from python_backends.tokenization import load_tokenizer, require_length, require_text, token_ids


class PromptBuilderStage(Stage):
    """Keeps as many sources, best first, as the model's prompt takes and its context holds.

    The rest is left out of the prompt and of the response. If the first source doesn't fit, the
    request is refused.
    """

    contract = PROMPT_BUILDER

    def __init__(self, context: StageContext) -> None:
        folder = context.engine_folder()
        self._tokenizer = load_tokenizer(folder)
        self._chat_template = ChatTemplate.load(folder)
        self._manifest, self._prompt = folder.manifest, folder.manifest.prompt
        self._user = strict_template(self._prompt.user, "the prompt's user template")
        added = [token.content for token in self._tokenizer.get_added_tokens_decoder().values()]
        special = "|".join(re.escape(text) for text in added if not text.isspace())
        self._special = re.compile(special or r"(?!)")

    def answer(self, request: Tensors) -> Outputs:
        question = require_text("question", [request.text("question")])[0]
        sources = request.texts("sources")[: self._prompt.num_sources]
        require_length("question", len(question), self._manifest.max_tokens)
        for index, source in enumerate(sources):
            require_length(f"sources[{index}]", len(source), self._manifest.max_tokens)
        budget = self._budget(request)
        # Bisection: the number of tokens only grows with the number of sources.
        count = bisect.bisect_right(
            range(min(1, len(sources)), len(sources) + 1),
            budget,
            key=lambda n: self._tokens(self._messages(question, sources[:n])),
        )
        if count == 0:
            raise self._too_long(request, question, sources, budget)
        given = [spec.name for spec in (*SOURCES, *PLACES) if spec.name in request]
        kept = {f"prompt_{name}": request.array(name)[:count] for name in given}
        return {"messages": [json.dumps(self._messages(question, sources[:count]))], **kept}

    def _budget(self, request: Tensors) -> int:
        """Tokens for the prompt: the context less the answer's `max_tokens`."""
        asked, context = request.scalar("max_tokens"), self._manifest.max_tokens
        if asked is not None and not 1 <= asked < context:
            raise RequestError(f"max_tokens: {asked} given; from 1 to {context - 1} is possible")
        return context - int(asked or self._manifest.sampling.max_tokens)

    def _too_long(
        self, request: Tensors, question: str, sources: list[str], budget: int
    ) -> RequestError:
        """The error of a prompt that doesn't fit; it names the input that is too long."""
        alone = self._tokens(self._messages(question, []))
        least = self._tokens(self._messages(question, sources[:1]))
        context = self._manifest.max_tokens
        if "max_tokens" in request and least < context:
            return RequestError(
                f"max_tokens: {request.scalar('max_tokens')} given; the question and one source "
                f"take {least} tokens of the {context} that prompt and answer share"
            )
        if alone > budget:
            return RequestError(
                f"question: its prompt has {alone} tokens; {budget} fit beside the answer in "
                f"{context}"
            )
        return RequestError(
            f"sources[0]: {least - alone} tokens; {budget - alone} fit beside question and answer "
            f"in {context}"
        )

    def _messages(self, question: str, sources: list[str]) -> list[Message]:
        lines = [self._escaped(" ".join(source.split())) for source in sources]
        try:
            user = self._user.render(question=self._escaped(question), sources=lines)
        except Exception as error:  # a template is a program: it can fail in any way
            raise ManifestError(
                f"the prompt's user template fails: {str(error) or type(error).__name__}; it has"
                " question and sources"
            ) from error
        system = self._prompt.system
        turns = [{"role": "system", "content": system}] if system else []
        return [*turns, {"role": "user", "content": user}]

    def _escaped(self, text: str) -> str:
        """The text with special tokens broken up: a document must not begin a chat turn."""
        return self._special.sub(lambda found: f"{found[0][:1]} {found[0][1:]}", text)

    def _tokens(self, messages: list[Message]) -> int:
        prompt = self._chat_template.render(messages)
        return len(token_ids(self._tokenizer, prompt))
