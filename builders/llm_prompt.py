"""What an LLM's spec says about its prompt, with the texts of the files that it names."""

import hashlib
import json
from dataclasses import asdict, replace

from builders.checkpoint import Checkpoint
from builders.errors import BuildError
from builders.spec import BUILDERS, ROOT, ModelSpec
from ensembles.manifest import Prompt

_PLAIN = "plain-chat.jinja"
_TOOLS = "tools.jinja"
_TOOL_CALLS = "hermes"
"""The syntax of tool calls where neither chat template nor spec has one."""


def prompt_of(spec: ModelSpec) -> Prompt:
    """The prompt as the manifest has it; raises `BuildError` when a file is missing."""
    said, tools = spec.prompt, (BUILDERS / "models" / _TOOLS).read_text(encoding="utf-8")
    return Prompt(
        said.system,
        _template(spec, "user_template", Prompt.user),
        said.num_sources,
        said.stop_words,
        _template(spec, "tools_template", tools),
        said.tool_calls or _TOOL_CALLS,
    )


def with_tools(spec: ModelSpec, prompt: Prompt, template_calls: str) -> tuple[Prompt, str]:
    """The prompt with the way in which tools are called, and a sentence on it; `template_calls` is
    the chat template's syntax of calls."""
    said = spec.prompt
    if said.tools_template or not template_calls:
        file = f"{spec.folder}/{said.tools_template}" if said.tools_template else ""
        text = file or f"builders/models/{_TOOLS}, as the chat template knows no tools"
        return prompt, f"tool calls: {prompt.tool_calls}, by {text}"
    calls = said.tool_calls or template_calls
    told = replace(prompt, tools="", tool_calls=calls)
    return told, f"tool calls: {calls}, by the chat template"


def prompt_hash(spec: ModelSpec) -> str:
    """A hash of all that the spec says about its prompt, files included."""
    template = _template(spec, "chat_template", "")
    text = json.dumps([asdict(prompt_of(spec)), template], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def added_template(spec: ModelSpec, checkpoint: Checkpoint) -> tuple[str, str]:
    """The chat template to write beside the checkpoint's own files, and a sentence on it.

    Both are empty where the checkpoint has one and the spec doesn't replace it. A checkpoint
    without any, such as a base model's, gets the contents of the messages as they are.
    """
    if own := _template(spec, "chat_template", ""):
        return own, f"chat template: {spec.folder}/{spec.prompt.chat_template}"
    if checkpoint.has_chat_template():
        return "", ""
    if text := checkpoint.table("chat_template.json").get("chat_template"):
        return str(text), ""
    return (
        (BUILDERS / "models" / _PLAIN).read_text(encoding="utf-8"),
        "the checkpoint has no chat template: 'rag' and messages use "
        f"builders/models/{_PLAIN}, which writes their contents one below the other",
    )


def _template(spec: ModelSpec, field: str, default: str) -> str:
    """The text of the file that the spec names in this field of its prompt."""
    name: str | None = getattr(spec.prompt, field)
    if not name:
        return default
    path = ROOT / spec.folder / name
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BuildError(
            f"{spec.folder}/{spec.name}.toml: prompt.{field}: {path.name} can't be read beside "
            f"it: {error}"
        ) from error
