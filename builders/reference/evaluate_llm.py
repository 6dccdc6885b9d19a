"""Measure the reference language model: `python -m builders.reference.evaluate_llm DIR`.

Greedy answers of the saved checkpoint, loaded with `transformers` as a server would, on entities
never seen in training and on the sample collection. Prints a table and writes evaluation.json.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from builders.reference.llm_text import NOT_TOLD, SYSTEM, Asked, Unseen, lesson, user_message

COLLECTION = Path(__file__).parent / "collection"
BATCH = 16
NEW_TOKENS = 64


@dataclass(frozen=True)
class Item:
    """A question over passages, with what a right answer holds."""

    passages: tuple[str, ...]
    asked: Asked


@dataclass(frozen=True)
class Score:
    """Shares (0 to 1) of the items of a set; `count` and `not_told` say over how many.

    `value`: the exact value, among answerable items; `contained`: it is part of what is stated
    ("240" in "240 passengers"). `citation`: the right number, among items
    whose value is right. `refusal`: "not told" said, among unanswerable items. `wrong_refusal`:
    the same among answerable ones.
    """

    count: int
    value: float
    contained: float
    citation: float
    not_told: int
    refusal: float
    wrong_refusal: float


def generated_items(
    seed: str, count: int, *, facts: bool = False, questions: bool = False
) -> list[Item]:
    """Items over generated facts about entities kept out of training."""
    rng = Random(seed)
    unseen = Unseen(names=True, facts=facts, questions=questions)
    items: list[Item] = []
    while len(items) < count:
        taught = lesson(rng, 1, unseen=unseen)
        items.append(Item(taught.passages, taught.asked[0]))
    return items


def collection_items(questions: Path, seed: int = 5) -> list[Item]:
    """The collection's questions: the right document among three or four random others."""
    rng = Random(seed)
    documents = {
        path.name: path.read_text(encoding="utf-8").strip()
        for path in sorted(COLLECTION.glob("*.md"))
    }
    items = []
    for line in questions.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        others = [name for name in documents if name != row["document"]]
        names = [*rng.sample(others, rng.choice((3, 4))), row["document"]]
        rng.shuffle(names)
        source = names.index(row["document"]) + 1 if row["answer"] else 0
        asked = Asked(row["question"], "", row["answer"] or "", source)
        items.append(Item(tuple(documents[name] for name in names), asked))
    return items


class Reader:
    """The saved model, answering greedily in batches."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.tokenizer.padding_side = "left"
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    def _prompt(self, item: Item) -> str:
        user = user_message(item.passages, item.asked.question)
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user}]
        text = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        return str(text)

    def answers(self, items: Sequence[Item]) -> list[str]:
        """One answer for each item."""
        # Prompts of like length together: less padding.
        order = sorted(range(len(items)), key=lambda n: len(self._prompt(items[n])))
        found = [""] * len(items)
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            inputs = self.tokenizer(
                [self._prompt(items[n]) for n in chosen], return_tensors="pt", padding=True
            )
            out = self.model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
            texts = self.tokenizer.batch_decode(
                out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
            )
            for number, text in zip(chosen, texts, strict=True):
                found[number] = text.strip()
        return found


def stated(answer: str) -> tuple[str, int]:
    """The value an answer states and the source it cites; empty and 0 where it does neither."""
    body, _, citation = answer.rpartition(" [")
    _, _, value = body.partition(" is ")
    number = citation.split("]")[0]
    return value, int(number) if number.isdigit() else 0


def right_value(answer: str, expected: str) -> bool:
    """Whether the stated value is the expected one, an article before it aside."""
    value = stated(answer)[0]
    return value.removeprefix("the ") == expected.removeprefix("the ")


def _contains(answer: str, expected: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(expected)}(?![\w])", answer) is not None


def _share(hits: Sequence[bool]) -> float:
    return round(sum(hits) / len(hits), 4) if hits else 0.0


def score(items: Sequence[Item], answers: Sequence[str]) -> Score:
    """The figures of one set of items."""
    told = [(one.asked, text) for one, text in zip(items, answers, strict=True) if one.asked.source]
    untold = [text for one, text in zip(items, answers, strict=True) if not one.asked.source]
    right = [(asked, text) for asked, text in told if right_value(text, asked.value)]
    return Score(
        count=len(told),
        value=_share([right_value(text, asked.value) for asked, text in told]),
        contained=_share([_contains(stated(text)[0], asked.value) for asked, text in told]),
        citation=_share([stated(text)[1] == asked.source for asked, text in right]),
        not_told=len(untold),
        refusal=_share([text == NOT_TOLD for text in untold]),
        wrong_refusal=_share([text == NOT_TOLD for _, text in told]),
    )


def item_sets(count: int) -> dict[str, list[Item]]:
    """What is measured, by name."""
    return {
        "seen phrasings": generated_items("seen", count),
        "new questions": generated_items("questions", count, questions=True),
        "new facts": generated_items("facts", count, facts=True),
        "new questions and facts": generated_items("both", count, questions=True, facts=True),
        "collection": collection_items(COLLECTION / "questions.jsonl"),
    }


def _line(name: str, one: Score) -> str:
    shares = (one.value, one.contained, one.citation, one.refusal, one.wrong_refusal)
    return f"{name:24}" + "".join(f" {x:7.1%}" for x in shares) + f"   {one.count} + {one.not_told}"


def evaluate(folder: Path, count: int, show: int) -> dict[str, Score]:
    """Score every set; `show` wrong answers of each are printed."""
    reader = Reader(folder)
    heads = ("value", "within", "cited", "refused", "wrongly")
    print(f"{'set':24}" + "".join(f" {head:>7}" for head in heads) + "   told + not told")
    scores = {}
    for name, items in item_sets(count).items():
        answers = reader.answers(items)
        one = scores[name] = score(items, answers)
        print(_line(name, one), flush=True)
        wrong = [
            (i.asked, a) for i, a in zip(items, answers, strict=True) if not _right(i.asked, a)
        ]
        for asked, text in wrong[:show]:
            expected = f"{asked.value or NOT_TOLD} [{asked.source}]"
            print(f"    {asked.question} -> {text} (expected {expected})")
    return scores


def _right(asked: Asked, text: str) -> bool:
    return right_value(text, asked.value) if asked.source else text == NOT_TOLD


def main() -> None:
    """Read the command line, evaluate, write evaluation.json beside the weights."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of the checkpoint")
    parser.add_argument(
        "--count", type=int, default=1000, help="generated items per set (default: 1000)"
    )
    parser.add_argument("--show", type=int, default=0, help="wrong answers to print per set")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: 1)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    scores = evaluate(arguments.folder, arguments.count, arguments.show)
    report = {name: asdict(one) for name, one in scores.items()}
    (arguments.folder / "evaluation.json").write_text(
        json.dumps(report, indent=2) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
