"""`prompt_builder`: question and sources to chat messages that fit the LLM's context."""

import bisect
import json
import re

from ensembles.contracts import PROMPT_BUILDER, SOURCES
from python_backends.context import StageContext
from python_backends.errors import RequestError
from python_backends.generation.chat_template import ChatTemplate, Message, strict_template
from python_backends.stage import Stage
from python_backends.tensors import Outputs, Tensors
from python_backends.tokenization import load_tokenizer, require_text


class PromptBuilderStage(Stage):
    """Keeps as many sources, by relevance, as the model's prompt takes and its context holds.

    The rest is left out of the prompt and of the response. If the first source doesn't fit, the
    request is refused.
    """

    contract = PROMPT_BUILDER

    def __init__(self, context: StageContext) -> None:
        folder = context.engine_folder()
        self._tokenizer = load_tokenizer(folder)
        self._chat_template = ChatTemplate.load(folder)
        self._manifest, self._prompt = folder.manifest, folder.manifest.prompt
        self._user = strict_template(self._prompt.user)
        added = [token.content for token in self._tokenizer.get_added_tokens_decoder().values()]
        special = "|".join(re.escape(text) for text in added if not text.isspace())
        self._special = re.compile(special or r"(?!)")

    def answer(self, request: Tensors) -> Outputs:
        question = require_text("question", [request.text("question")])[0]
        sources = request.texts("sources")[: self._prompt.num_sources]
        budget = self._budget(request)
        # Bisection: the number of tokens only grows with the number of sources.
        count = bisect.bisect_right(
            range(min(1, len(sources)), len(sources) + 1),
            budget,
            key=lambda n: self._tokens(self._messages(question, sources[:n])),
        )
        if count == 0:
            tokens = self._tokens(self._messages(question, sources[:1]))
            raise RequestError(
                f"question: {tokens} tokens of prompt with one source or none; {budget} fit beside "
                f"the answer in {self._manifest.max_tokens}"
            )
        kept = {f"prompt_{s.name}": request.array(s.name)[:count] for s in SOURCES}
        return {"messages": [json.dumps(self._messages(question, sources[:count]))], **kept}

    def _budget(self, request: Tensors) -> int:
        """Tokens for the prompt: the context less the answer's `max_tokens`."""
        asked, context = request.scalar("max_tokens"), self._manifest.max_tokens
        if asked is not None and not 1 <= asked < context:
            raise RequestError(f"max_tokens: {asked} given; from 1 to {context - 1} is possible")
        return context - int(asked or self._manifest.sampling.max_tokens)

    def _messages(self, question: str, sources: list[str]) -> list[Message]:
        lines = [self._escaped(" ".join(source.split())) for source in sources]
        user = self._user.render(question=self._escaped(question), sources=lines)
        system = self._prompt.system
        turns = [{"role": "system", "content": system}] if system else []
        return [*turns, {"role": "user", "content": user}]

    def _escaped(self, text: str) -> str:
        """The text with special tokens broken up: a document must not begin a chat turn."""
        return self._special.sub(lambda found: f"{found[0][:1]} {found[0][1:]}", text)

    def _tokens(self, messages: list[Message]) -> int:
        prompt = self._chat_template.render(messages)
        return len(self._tokenizer.encode(prompt, add_special_tokens=False))
