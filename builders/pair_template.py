"""What a reranker's chat template puts around query and passage.

sentence-transformers (5.4 and later) renders a reranker's template with the roles `query` and
`document`. Its fixed text becomes part of the engine's tokenizer, so pairs are tokenized as for
other rerankers: only the passage is truncated, and no text can end its turn.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, processors

from builders.checkpoint import Checkpoint
from builders.checkpoint_files import PROMPTS, SETTINGS, read_json
from builders.errors import refusing
from builders.llm_checkpoint import read_tokenizer
from builders.spec import ModelSpec
from ensembles.manifest import PairText

_QUERY, _PASSAGE = "query9d1f", "passage9d1f"
"""Words in the place of the texts, which no template has."""
_LEAST_ROOM = 64
"""Least number of tokens that a template must leave for query and passage."""
_PAIRS = (("Which port is it?", "It listens on 8123."), ("ports", "Ports:\n- 80"))
"""Texts that get other tokens if a template is cut at the wrong places."""


@dataclass(frozen=True)
class _Cut:
    """A rendered template: tokens `begin`, the query within `text`, tokens `middle`, the passage
    after `text.before_passage`, tokens `end`. The passage may come before the query."""

    begin: str
    middle: str
    end: str
    text: PairText
    passage_first: bool = False

    def joined(self, query: str, passage: str) -> str:
        first, second = self.pair(query, passage)[:: -1 if self.passage_first else 1]
        return f"{self.begin}{first}{self.middle}{second}{self.end}"

    def pair(self, query: str, passage: str) -> tuple[str, str]:
        text = self.text
        return f"{text.before_query}{query}{text.after_query}", text.before_passage + passage


def default_prompt(spec: ModelSpec, path: Path) -> str:
    """What sentence-transformers adds to every text; raises `BuildError` for a name without one."""
    config = read_json(path / PROMPTS, {})
    prompts: dict[str, str] = config.get("prompts") or {}
    name = config.get("default_prompt_name")
    if name is not None and name not in prompts:
        raise spec.error(
            f"{PROMPTS}: default_prompt_name '{name}'; its prompts are "
            f"{', '.join(prompts) or 'none'}"
        )
    return prompts[name] if name is not None else ""


def read_pair_template(spec: ModelSpec, checkpoint: Checkpoint) -> tuple[PairText, str]:
    """The template's text that belongs to query and passage, and tokenizer.json with its other
    text. Raises `BuildError`."""
    tokenizer = read_tokenizer(checkpoint)
    rendered = _rendered(spec, checkpoint)
    if (rendered.count(_QUERY), rendered.count(_PASSAGE)) != (1, 1):
        raise spec.error(
            "the reranker's chat template does not write a message of role query and one of role "
            "document, once each, as sentence-transformers asks of it. Where it was trained on "
            "plain pairs, remove chat_template from its files; of Qwen3-Reranker take a revision "
            "that has modules.json"
        )
    for cut in _cuts(tokenizer, rendered):
        made = _tokenizer(tokenizer, cut)
        whole = [tokenizer.encode(cut.joined(*pair), add_special_tokens=False) for pair in _PAIRS]
        pairs = [made.encode(*cut.pair(*pair)) for pair in _PAIRS]
        if [found.ids for found in pairs] == [found.ids for found in whole]:
            _check_room(spec, made)
            return cut.text, made.to_str()
    raise spec.error(
        "the reranker's chat template can't be put around a pair: its tokenizer joins the "
        "template's text and the pair's into other tokens"
    )


def _check_room(spec: ModelSpec, tokenizer: Tokenizer) -> None:
    taken = tokenizer.num_special_tokens_to_add(True)
    if spec.max_tokens < taken + _LEAST_ROOM:
        raise spec.error(
            f"max_tokens {spec.max_tokens} in its spec, and its chat template takes {taken} of "
            f"them; at least {taken + _LEAST_ROOM} are needed"
        )


def _rendered(spec: ModelSpec, checkpoint: Checkpoint) -> str:
    """The template, rendered as sentence-transformers does, with the two words for the texts."""
    from transformers import AutoTokenizer

    prompt = default_prompt(spec, checkpoint.path)
    settings = read_json(checkpoint.path / SETTINGS, {})
    options = dict((settings.get("processing_kwargs") or {}).get("chat_template") or {})
    options.pop("restore_suffix", None)  # sentence-transformers' own
    form = ((settings.get("modality_config") or {}).get("message") or {}).get("format", "flat")
    turns = [("system", prompt)] * bool(prompt) + [("query", _QUERY), ("document", _PASSAGE)]
    messages = [{"role": role, "content": _content(text, form)} for role, text in turns]
    with refusing(spec, "transformers can't render the reranker's chat template"):
        tokenizer = AutoTokenizer.from_pretrained(checkpoint.path, trust_remote_code=False)
        return str(tokenizer.apply_chat_template(messages, tokenize=False, **options))


def _content(text: str, form: str) -> Any:
    return text if form == "flat" else [{"type": "text", "text": text}]


def _cuts(tokenizer: Tokenizer, rendered: str) -> Iterator[_Cut]:
    """Possible cuts: blanks before a text may belong to its first token, signs after it to its
    last one. All that stands between a passage and a query after it is tokenized with the query."""
    first, second = sorted((_QUERY, _PASSAGE), key=rendered.find)
    before, _, rest = rendered.partition(first)
    between, _, after = rest.partition(second)
    if first == _PASSAGE:
        for begin, head in _without_blanks(before):
            yield _Cut(begin, "", after, PairText(between, "", head), passage_first=True)
        return
    special = [one.content for one in tokenizer.get_added_tokens_decoder().values() if one.special]
    places = [between.find(token) for token in special if token in between]
    split = min(places, default=len(between))
    tail, middle = between[:split], between[split:]
    for begin, head in _without_blanks(before):
        for rest, lead in _without_blanks(middle or tail):
            fixed, behind_query = (rest, tail) if middle else ("", rest)
            yield _Cut(begin, fixed, after, PairText(head, behind_query, lead))


def _without_blanks(text: str) -> Iterator[tuple[str, str]]:
    bare = text.rstrip()
    yield from itertools.chain([(bare, text[len(bare) :])], [(text, "")] * (bare != text))


def _tokenizer(tokenizer: Tokenizer, cut: _Cut) -> Tokenizer:
    """Adds the template's tokens around pairs, and nothing around a single text."""
    blocks = {"begin": cut.begin, "middle": cut.middle, "end": cut.end}
    encoded = {n: tokenizer.encode(text, add_special_tokens=False) for n, text in blocks.items()}
    special = {n: {"id": n, "ids": e.ids, "tokens": e.tokens} for n, e in encoded.items() if e.ids}
    first, second = ("$B", "$A") if cut.passage_first else ("$A", "$B")
    pair = ("begin", first, "middle", second, "end")
    made = Tokenizer.from_str(tokenizer.to_str())
    made.post_processor = processors.TemplateProcessing(
        single=["$A:0"],
        pair=[f"{name}:0" for name in pair if name.startswith("$") or name in special],
        special_tokens=[*special.values()],
    )
    return made
