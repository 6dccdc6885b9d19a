"""Renders chat messages to a prompt with the checkpoint's own chat template."""

import itertools
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import Environment, StrictUndefined, Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ensembles.manifest import ManifestError
from python_backends.context import EngineFolder
from python_backends.errors import RequestError
from python_backends.generation.messages import Message

TOKENIZER_CONFIG = "tokenizer_config.json"
CHAT_TEMPLATE = "chat_template.jinja"
_WHAT = "the chat template"
MOST_CHARACTERS = 2**25
"""Longest prompt of a template: no context has room for it, and its tokens would take minutes."""


class _Generation(Extension):
    """transformers' `{% generation %}` marks text for training; its content is rendered as is."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own form

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def sandbox(**options: Any) -> Environment:
    """A Jinja environment like transformers', in which a template can't run code of its own."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation], **options
    )
    # Unlike Jinja's filter, that of transformers does not escape HTML.
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def strict_template(source: str, what: str) -> Template:
    """A template of this repository, in which an unknown name is an error.

    Raises `ManifestError`, which says `what` it is.
    """
    return _parsed(sandbox(undefined=StrictUndefined), source, what)


def _parsed(environment: Environment, source: str, what: str) -> Template:
    if not isinstance(source, str):  # a file that a human wrote may hold anything
        raise ManifestError(f"{what} is a {type(source).__name__}, not a text")
    try:
        return environment.from_string(source)
    except TemplateSyntaxError as error:
        raise ManifestError(f"{what} is not valid Jinja: line {error.lineno}: {error}") from error
    except RecursionError as error:
        raise ManifestError(f"{what} is not valid Jinja: nested too deeply") from error


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)


class ChatTemplate:
    """The checkpoint's chat template, rendered as transformers renders it.

    Published templates test for names that may be absent (`tools`), so an unknown name is false
    here and not an error. Where a template refuses or drops a system turn, as those of Gemma 2 and
    Mistral 7B do, its text goes before that of the first user turn. If a checkpoint has a separate
    template for tools, as Hermes 3 has, requests with tools use it.
    """

    def __init__(
        self, source: str | None, special_tokens: Mapping[str, str], tools_source: str | None = None
    ) -> None:
        """Raises `ManifestError`. Without `source`, `render` refuses every request."""
        self._template = None if source is None else _parsed(sandbox(), source, _WHAT)
        self._tools_template = (
            self._template if tools_source is None else _parsed(sandbox(), tools_source, _WHAT)
        )
        self._special_tokens = special_tokens
        self._has_system = self._shows(_SYSTEM_TURN, _USER_TURN)

    @classmethod
    def load(cls, folder: EngineFolder) -> "ChatTemplate":
        has_config = TOKENIZER_CONFIG in folder.manifest.files
        text = folder.file(TOKENIZER_CONFIG).read_text(encoding="utf-8") if has_config else "{}"
        config = json.loads(text)
        source = config.get("chat_template")
        tools_source = None
        if CHAT_TEMPLATE in folder.manifest.files:
            source = folder.file(CHAT_TEMPLATE).read_text(encoding="utf-8")
        if isinstance(source, list):  # several named templates
            named = {entry["name"]: entry["template"] for entry in source}
            source = named.get("default", next(iter(named.values()), None))
            tools_source = named.get("tool_use")
        names = ("bos_token", "eos_token", "pad_token", "unk_token")
        tokens = {name: _token(config[name]) for name in names if config.get(name)}
        return cls(source, tokens, tools_source)

    def render(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None = None
    ) -> str:
        """The prompt, up to the beginning of the assistant's answer; raises `RequestError`."""
        if self._template is None:
            raise RequestError("messages: this model has no chat template; send text_input")
        return self._render(messages if self._has_system else _folded(messages), tools=tools)

    def after_answer(self) -> str:
        """What the template writes after an answer; "" when it writes nothing."""
        if not self._shows(_USER_TURN, _ANSWER):
            return ""
        text = self._render([_USER_TURN, _ANSWER], is_answered=True)
        return text.rpartition(_ANSWER["content"])[2]

    def _shows(self, *messages: Message) -> bool:
        """Whether the template takes these turns and writes the text of each."""
        try:
            text = self._render(messages, is_answered=messages[-1] is _ANSWER)
        except RequestError:
            return False
        return all(message["content"] in text for message in messages)

    def _render(
        self,
        messages: Sequence[Message],
        is_answered: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> str:
        template = self._tools_template if tools else self._template
        if template is None:
            return ""
        try:
            return _written(
                template,
                messages=messages,
                tools=tools,  # also None, as in transformers: templates ask "tools is not none"
                documents=None,
                add_generation_prompt=not is_answered,
                enable_thinking=False,  # Qwen 3's thoughts would be taken for its answer
                **self._special_tokens,
            )
        except RequestError:
            raise
        except TemplateError as error:
            raise RequestError(
                f"messages: the model's chat template refuses them: {error}"
            ) from error
        except Exception as error:  # a template is a program: it can fail in any way
            raise RequestError(
                f"messages: the model's chat template fails on them: "
                f"{type(error).__name__}: {error}"
            ) from error


_SYSTEM_TURN = {"role": "system", "content": "Trial of a system turn."}
_USER_TURN = {"role": "user", "content": "Trial of a user's turn."}
_ANSWER = {"role": "assistant", "content": "Trial of an answer."}


def _written(template: Template, **names: Any) -> str:
    """The template's text; raises `RequestError` before a long one fills the memory."""
    parts, characters = list[str](), 0
    for part in template.generate(**names):
        parts.append(part)
        characters += len(part)
        if characters > MOST_CHARACTERS:
            raise RequestError(
                f"messages: the model's chat template makes {characters} characters of them and"
                f" more; at most {MOST_CHARACTERS} are possible"
            )
    return "".join(parts)


def _folded(messages: Sequence[Message]) -> list[Message]:
    """The system turns that come first, as the beginning of the first user turn."""
    turns = list(itertools.dropwhile(lambda message: message.get("role") == "system", messages))
    system = [message["content"] for message in messages[: len(messages) - len(turns)]]
    if not system:
        return turns
    if not turns or turns[0].get("role") != "user":
        turns.insert(0, {"role": "user", "content": ""})
    texts = [*system, turns[0]["content"]]
    return [{**turns[0], "content": "\n\n".join(filter(None, texts))}, *turns[1:]]


def _token(value: str | Mapping[str, str]) -> str:
    return value if isinstance(value, str) else value["content"]
