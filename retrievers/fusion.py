"""Reciprocal rank fusion of several rankers (Cormack, Clarke and Buettcher 2009): sum of 1 / (k0 + rank).

Ranks are of scores, so that chunks which one ranker scores alike share a rank there, and a ranker that finds
nothing (BM25 without a shared word) leaves the order to the others. So do chunks beyond the places that a
ranker has settled: all of them share the rank after those.
Exercised by ``--method "rag:retriever=hybrid(retrievers=bm25;dense(encoder=minilm))"``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

from retrievers import build
from retrievers.base import Ranker, Ranking, rank, tied, weights_of
from retrievers.chunking import Chunk

if TYPE_CHECKING:
    from models.engine import Engine


@dataclass
class Hybrid:
    """`retrievers` are two SPECs or more (or rankers); with few chunks `k0=60` is nearly an average of ranks, and
    a small one lets the first places count.

    Settled are as many places as its least settled ranker has. Flags: `tie`, and `parts`, the flags of each
    ranker in order."""

    engine: Engine
    _: KW_ONLY
    retrievers: tuple[str | Ranker, ...] = ("bm25", "dense")
    k0: float = 60.0

    def __post_init__(self) -> None:
        if len(self.retrievers) < 2:
            raise ValueError("hybrid needs two retrievers or more: retrievers=bm25;dense")
        if self.k0 < 0:
            raise ValueError(f"k0={self.k0} is below zero: expected 0 or more")
        self.rankers = [build(one, self.engine) for one in self.retrievers]

    @property
    def weights(self) -> dict[str, str]:
        """The weights of all of them."""
        return {path: commit for ranker in self.rankers for path, commit in weights_of(ranker).items()}

    def rank(self, question: str, chunks: Sequence[Chunk]) -> Ranking:
        """Every ranker ranks all chunks; the scores are the sums."""
        rankings = [ranker.rank(question, chunks) for ranker in self.rankers]
        # a plugin's ranking need not say how many places are settled
        settled = [getattr(ranking, "settled", None) for ranking in rankings]
        places = [
            shared_ranks(ranking.scores, known) for ranking, known in zip(rankings, settled, strict=True)
        ]
        scores = [sum(1 / (self.k0 + place) for place in of_chunk) for of_chunk in zip(*places, strict=True)]
        flags = {"tie": tied(scores), "parts": [dict(ranking.flags) for ranking in rankings]}
        fewest = min((known for known in settled if known is not None), default=None)
        return Ranking(rank(scores), scores, flags, fewest)


def shared_ranks(scores: Sequence[float], settled: int | None = None) -> list[int]:
    """The rank of every score from 1 on, equal scores sharing the best of their ranks, and all that are not among
    the `settled` best (None: all are) the rank after those."""
    falling = sorted(scores, reverse=True)
    last = len(scores) if settled is None else settled
    return [1 + min(falling.index(score), last) for score in scores]
