"""Retrieval by character n-grams: a chunk is as good as the share of the question's n-grams that stand in it.

Rare n-grams weigh more (the logarithm of how few chunks have them). No words are needed, so that languages without
blanks and misspelt names are found as well. Exercised by
``python run_compare.py --method "rag:retriever=ngrams(n=4)" --benchmark recall``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple


class Ranking(NamedTuple):
    """`order` holds the places of the chunks, best first; `scores` one number a chunk, as they came."""

    order: list[int]
    scores: list[float]
    flags: dict[str, Any]


class NGrams:
    """Needs no reader: `engine` is what every factory is given."""

    def __init__(self, engine: Any = None, *, n: int = 3) -> None:
        if n < 1:
            raise ValueError(f"n={n} is too small: expected at least 1 character")
        self.n = n

    def rank(self, question: str, chunks: Sequence[Any]) -> Ranking:
        """Chunks have a `text`. The earlier one comes first on a tie."""
        found = [self.ngrams(chunk.text) for chunk in chunks]
        asked = self.ngrams(question)
        having = Counter(gram for grams in found for gram in grams & asked)
        weights = {gram: math.log(1 + len(chunks) / count) for gram, count in having.items()}
        scores = [math.fsum(weights[gram] for gram in sorted(grams & asked)) for grams in found]
        order = sorted(range(len(chunks)), key=lambda place: -scores[place])
        return Ranking(order, scores, {"no_shared_ngram": not having})

    def ngrams(self, text: str) -> set[str]:
        """Lower case, white space as one blank."""
        flat = " ".join(text.casefold().split())
        return {flat[start : start + self.n] for start in range(max(1, len(flat) - self.n + 1))} - {""}
