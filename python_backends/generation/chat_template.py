"""Renders chat messages to a prompt with the checkpoint's own chat template."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import Environment, StrictUndefined, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from python_backends.context import EngineFolder
from python_backends.errors import RequestError

TOKENIZER_CONFIG = "tokenizer_config.json"
CHAT_TEMPLATE = "chat_template.jinja"

Message = Mapping[str, str]


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


def strict_template(source: str) -> Any:
    """A template of this repository: an unknown name is an error."""
    return sandbox(undefined=StrictUndefined).from_string(source)


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
    here and not an error.
    """

    def __init__(self, source: str | None, special_tokens: Mapping[str, str]) -> None:
        self._template = None if source is None else sandbox().from_string(source)
        self._special_tokens = special_tokens

    @classmethod
    def load(cls, folder: EngineFolder) -> "ChatTemplate":
        config = json.loads(folder.file(TOKENIZER_CONFIG).read_text(encoding="utf-8"))
        source = config.get("chat_template")
        if CHAT_TEMPLATE in folder.manifest.files:
            source = folder.file(CHAT_TEMPLATE).read_text(encoding="utf-8")
        if isinstance(source, list):  # several named templates
            named = {entry["name"]: entry["template"] for entry in source}
            source = named.get("default", next(iter(named.values()), None))
        names = ("bos_token", "eos_token", "pad_token", "unk_token")
        return cls(source, {name: _token(config[name]) for name in names if config.get(name)})

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt, up to the beginning of the assistant's answer; raises `RequestError`."""
        if self._template is None:
            raise RequestError("messages: this model has no chat template; send text_input")
        try:
            return self._template.render(
                messages=messages,
                tools=None,  # transformers passes both: templates ask "tools is not none"
                documents=None,
                add_generation_prompt=True,
                **self._special_tokens,
            )
        except TemplateError as error:
            raise RequestError(
                f"messages: the model's chat template refuses them: {error}"
            ) from error


def _token(value: str | Mapping[str, str]) -> str:
    return value if isinstance(value, str) else value["content"]


def read_messages(text: str) -> list[Message]:
    """Parse the input `messages`; raises `RequestError` for any other form."""
    form = 'a JSON list of {"role": "…", "content": "…"} is possible'
    try:
        messages = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"messages: not JSON; {form}") from error
    if not isinstance(messages, list) or not messages:
        raise RequestError(f"messages: not a list with elements; {form}")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise RequestError(f"messages[{index}]: not a role and a content; {form}")
        if not all(isinstance(value, str) for value in message.values()):
            raise RequestError(f"messages[{index}]: role and content must be strings; {form}")
        if any(
            "\ud800" <= character <= "\udfff" for text in message.values() for character in text
        ):
            raise RequestError(f"messages[{index}]: half of a surrogate pair; {form}")
    return messages
