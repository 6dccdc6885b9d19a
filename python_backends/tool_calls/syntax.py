"""The forms in which models write calls, and which of them a chat template writes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Syntax:
    """How a model writes calls: each a JSON object with a name and, under `arguments`, an object.

    `begin` comes before a call or a list of calls, `end` after a call. `around` are characters
    that may surround the objects, besides blanks. `is_bare`: an answer that begins with an object
    is a call, without `begin`.
    """

    begin: str = ""
    end: str = ""
    around: str = ""
    arguments: str = "arguments"
    is_bare: bool = False

    def write(self, name: str, arguments: Mapping[str, Any]) -> str:
        """A call as the model would write it."""
        call = json.dumps({"name": name, self.arguments: arguments}, ensure_ascii=False)
        if self.end:
            return f"{self.begin}\n{call}\n{self.end}"
        return f"{self.begin}[{call}]" if "[" in self.around else call


HERMES = Syntax("<tool_call>", "</tool_call>")
"""The syntax of Hermes, Qwen 2.5, Qwen 3 and SmolLM 3."""

SYNTAXES: Mapping[str, Syntax] = {
    "hermes": HERMES,
    "mistral": Syntax("[TOOL_CALLS]", around="[,]"),
    "llama3_json": Syntax("<|python_tag|>", around=";", arguments="parameters", is_bare=True),
}
"""The syntaxes, by the names that a spec may give. A chat template is tried in this order."""

BARE = Syntax(is_bare=True)
"""The syntax of calls that a grammar forces: JSON alone."""
