"""`make render-lint-docs`: write docs/ from the rules; with --check, say what is stale."""

import argparse
import sys
from pathlib import Path

from triton_lint.pages import pages

FOLDER = Path(__file__).resolve().parents[1] / "docs"


def stale() -> list[str]:
    """Pages that differ from what the rules give, and pages of no rule."""
    wanted = pages()
    present = {path.name for path in FOLDER.glob("*.md")}
    differ = [
        name
        for name, text in wanted.items()
        if name not in present or (FOLDER / name).read_text() != text
    ]
    return sorted(differ + list(present - set(wanted)))


def write() -> None:
    """Make the folder what the rules give."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for path in FOLDER.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text)


def main() -> int:
    """Exit status 1 when pages are stale and `--check` is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        write()
        return 0
    found = stale()
    if found:
        print(f"tools/triton_lint/docs: {', '.join(found)} stale: run 'make render-lint-docs'")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
