"""`prompt_builder`: question and ranked sources to chat messages that fit the LLM."""

import bisect
import json
import re

from ensembles.contracts import PROMPT_BUILDER, SOURCES
from python_backends.generation.chat_template import ChatTemplate, Message, strict_template
from python_backends.stage import Outputs, RequestError, Stage, StageContext, Tensors
from python_backends.tokenization import load_tokenizer, require_text

SYSTEM = (
    "Answer from the numbered sources only and cite them like [1]. If they do not tell, say so."
)
USER = """\
{% for source in sources -%}
[{{ loop.index }}] {{ source }}
{% endfor %}

Question: {{ question }}"""


class PromptBuilderStage(Stage):
    """Keeps the most relevant sources that fit into the context beside the answer.

    Sources that don't fit are left out of the prompt and of the response alike; if not even the
    first fits, the request is refused.
    """

    contract = PROMPT_BUILDER

    def __init__(self, context: StageContext) -> None:
        folder = context.engine_folder()
        self._tokenizer = load_tokenizer(folder)
        self._chat_template = ChatTemplate.load(folder)
        self._manifest = folder.manifest
        self._user = strict_template(USER)
        added = [token.content for token in self._tokenizer.get_added_tokens_decoder().values()]
        special = "|".join(re.escape(text) for text in added if not text.isspace())
        self._special = re.compile(special or r"(?!)")

    def answer(self, request: Tensors) -> Outputs:
        """Messages as JSON, and the sources that are in them."""
        question = require_text("question", [request.text("question")])[0]
        sources = request.texts("sources")
        budget = self._budget(request)
        # The most sources that fit, by bisection: tokens only grow with their number.
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
        """Tokens for the prompt: the context less the answer that was asked for."""
        asked, context = request.scalar("max_tokens"), self._manifest.max_tokens
        if asked is not None and not 1 <= asked < context:
            raise RequestError(f"max_tokens: {asked} given; from 1 to {context - 1} is possible")
        return context - int(asked or self._manifest.sampling.max_tokens)

    def _messages(self, question: str, sources: list[str]) -> list[Message]:
        lines = [self._defused(" ".join(source.split())) for source in sources]
        user = self._user.render(question=self._defused(question), sources=lines)
        return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user}]

    def _defused(self, text: str) -> str:
        """The text without special tokens: a document must not open a chat turn of its own."""
        return self._special.sub(lambda found: f"{found[0][:1]} {found[0][1:]}", text)

    def _tokens(self, messages: list[Message]) -> int:
        prompt = self._chat_template.render(messages)
        return len(self._tokenizer.encode(prompt, add_special_tokens=False))
