"""The rules' pages: one Markdown file per rule, beside this module."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "pages"


@dataclass(frozen=True)
class Page:
    text: str
    """The whole page: `# ID: title`, severity and origin, the reason, then the examples."""

    @property
    def title(self) -> str:
        return self.text.partition("\n")[0].partition(": ")[2]

    @property
    def origin(self) -> str:
        """What Triton does, and how that is known."""
        return self._paragraphs[1]

    @property
    def why(self) -> str:
        return "\n\n".join(self._paragraphs[2:])

    @property
    def _paragraphs(self) -> list[str]:
        return self.text.partition("\n## ")[0].strip().split("\n\n")


def page_path(rule_id: str) -> Path:
    return FOLDER / f"{rule_id}.md"


@cache
def read_page(rule_id: str) -> Page:
    return Page(page_path(rule_id).read_text(encoding="utf-8"))
