"""The contract of a ranker: a question and chunks in, an order of chunks out.

A ranker is built by ``factory(engine, **options)``; every option has a default, and the type that it is annotated
with, or else its default's (a tuple is a list with ``;``). Every ranker sorts by `rank`, so that ties fall
the same way in all of them. Torch-free.
Exercised by ``pytest tests/retrievers``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from retrievers.chunking import Chunk


@dataclass(frozen=True)
class Ranking:
    """`order` holds positions in the chunks as given, best first; `scores` one number a chunk, in the order
    given (higher is better, the scale is the ranker's own); `flags` what a reader of the record should know:
    a flag that is True is listed by name, any other small value is kept beside it. `settled` says how many of
    the first places the ranker has found out (None: all of them)."""

    order: list[int]
    scores: list[float]
    flags: Mapping[str, Any] = field(default_factory=dict)
    settled: int | None = None


class Ranker(Protocol):
    """Ranks the chunks of one context; the question alone is the query, never the instruction around it.

    A ranker with weights of its own says which in `weights`: hub ids with the commits that were loaded, and
    folders (with an empty text), because another revision may give another answer."""

    def rank(self, question: str, chunks: Sequence[Chunk]) -> Ranking: ...


def weights_of(ranker: Ranker | None) -> dict[str, str]:
    """The weights that a ranker has beside the reader's, by hub id or folder; none for most."""
    return dict(getattr(ranker, "weights", {}))


def rank(scores: Sequence[float]) -> list[int]:
    """Positions by falling score, the earlier first on a tie. ValueError for a score that is not a number."""
    if any(math.isnan(score) for score in scores):
        raise ValueError("a ranker returned a score that is not a number: expected one finite score a chunk")
    return sorted(range(len(scores)), key=lambda position: -scores[position])


def tied(scores: Sequence[float]) -> bool:
    """Whether the best score is shared."""
    return scores.count(max(scores, default=0.0)) > 1
