"""Splits candidates into sentences, for the stages that choose candidates."""

from collections.abc import Sequence

import numpy as np

from python_backends.sentences import one_line, sentences
from python_backends.tensors import Outputs


def candidate_sentences(candidates: Sequence[str], max_sentences: int) -> Outputs:
    """The tensors of `ensembles.contracts.CANDIDATE_SENTENCES`: at most `max_sentences` of them.

    Where more candidates than that are given, each is one sentence.
    """
    most = max(1, max_sentences // len(candidates))
    pieces = [joined(sentences(candidate), most) for candidate in candidates]
    owners = np.repeat(np.arange(len(pieces), dtype=np.int32), list(map(len, pieces)))
    return {
        "sentences": [sentence for piece in pieces for sentence in piece],
        "sentence_type": ["passage"],
        "sentence_candidate": owners,
    }


def joined(texts: Sequence[str], most: int) -> list[str]:
    """Neighbours joined, so that at most `most` texts are left."""
    size = -(-len(texts) // most)
    return [one_line(" ".join(texts[i : i + size])) for i in range(0, len(texts), size)]
