"""Documentation pages, written from the rules' own text and examples."""

from collections.abc import Iterator

from triton_lint.catalogue import RULES
from triton_lint.findings import Severity
from triton_lint.report import printable
from triton_lint.rule import Example, Rule

GROUPS = {
    "TRN0": "Reading the file",
    "TRN1": "Names, backends, versions, files",
    "TRN2": "Inputs and outputs",
    "TRN3": "Schedulers and cache",
    "TRN4": "Instances, warm-up, metrics, parameters",
    "TRN5": "Ensembles",
    "TRN6": "What Triton loads and users regret",
    "TRN7": "Python models",
}

_LANGUAGES = {"pbtxt": "protobuf", "py": "python", "json": "json"}


def pages() -> dict[str, str]:
    """Every page by its file name; `README.md` lists the rules."""
    return {"README.md": _index()} | {f"{rule.id}.md": _page(rule) for rule in RULES}


def _index() -> str:
    lines = [
        "# Rules of `triton-rag lint`",
        "",
        "Written by `make render-lint-docs` from the rules' code; the examples are run as tests.",
        "An error is what Triton refuses to load, a warning what it loads and users regret.",
    ]
    for prefix, title in GROUPS.items():
        lines += ["", f"## {title}", "", "| rule | | |", "|---|---|---|"]
        lines += [
            f"| [{rule.id}]({rule.id}.md) | {rule.severity.value} | {rule.title} |"
            for rule in RULES
            if rule.id.startswith(prefix)
        ]
    return "\n".join(lines) + "\n"


def _page(rule: Rule) -> str:
    refused = "Triton refuses the model" if rule.severity is Severity.ERROR else "Triton loads it"
    known = f"Triton {rule.seen}" if rule.seen[0].isdigit() else rule.seen
    lines = [
        f"# {rule.id}: {rule.title}",
        "",
        f"**{rule.severity.value}** ({refused}). Known from: {known}.",
        "",
        rule.why,
        *_example("Reported", rule.bad),
        *_example("Not reported", rule.good),
        "",
        "[All rules](README.md)",
    ]
    return "\n".join(lines) + "\n"


def _example(title: str, example: Example) -> Iterator[str]:
    yield ""
    yield f"## {title}{_settings(example)}"
    files = example.all_files()
    for path, content in sorted(files.items()):
        if _is_shown(path, content):
            language = _LANGUAGES[path.rpartition(".")[2]]
            text = "\n".join(printable(line) for line in content.splitlines())
            yield from ("", f"`{path}`", "", f"```{language}", text, "```")
    others = [path for path, content in sorted(files.items()) if not _is_shown(path, content)]
    if others:
        yield from ("", "with " + ", ".join(f"`{path}`" for path in others))


def _is_shown(path: str, content: str) -> bool:
    return content not in ("", "{}") and path.rpartition(".")[2] in _LANGUAGES


def _settings(example: Example) -> str:
    """The options that the example is linted with."""
    options = []
    if example.triton:
        options.append(f"`--triton {example.triton}`")
    if example.gpus is not None:
        options.append(f"`--gpus {example.gpus}`")
    if not example.auto_complete:
        options.append("`--disable-auto-complete-config`")
    return f" (with {', '.join(options)})" if options else ""
