"""Retrieval: the best chunks by a ranker are read in place of the context, in one prompt.

One chunk of OPRM's length by default, so that both read as much for their answer ("budget-matched"). OPRM's
paper (arXiv 2505.07793) compares with RAG and released no code for it: this is our set-up, no reproduction.
Exercised by ``--method rag``, ``--method "rag:retriever=bm25(variant=okapi),k=3,order=document"`` and
``--method rag:chunk_size=60,budget=250``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from benchmarks.base import PLAIN_QA, Task
from methods.base import (
    Answer,
    Clause,
    check_chunks,
    chunk_details,
    chunk_sizes,
    generate,
    ranking_details,
    retrieve,
    split_context,
)
from retrievers import build
from retrievers.base import Ranker, check_choice, weights_of
from retrievers.chunking import Boundary, Chunk, join

if TYPE_CHECKING:
    from models.engine import Engine

Order = Literal["rank", "document"]


@dataclass(frozen=True)
class RAG:
    """`retriever` is a ranker's SPEC (or a ranker); `k` chunks are joined in the order of their rank or of
    the document: neighbours as they stand in the context, in the place of the better one, and others with a
    blank line between them. With a `budget`, in the reader's tokens, as many of the best chunks are taken as fit
    into it, instead of `k`."""

    engine: Engine
    _: KW_ONLY
    retriever: str | Ranker = "bm25"
    k: int = 1
    budget: int | None = None
    order: Order = "rank"
    chunk_size: int | None = None
    overlap: int | None = None
    boundary: Boundary = "token"
    clause: Clause = "oprm"
    ranker: Ranker = field(init=False)

    def __post_init__(self) -> None:
        check_choice("order", self.order, Order)
        check_choice("clause", self.clause, Clause)
        check_chunks(self.engine, self.chunk_size, self.overlap)
        if self.k < 1:
            raise ValueError(f"k={self.k} is too small: expected at least 1 chunk")
        if self.budget is not None:
            if self.k != 1:
                raise ValueError(f"k={self.k} and budget={self.budget} both say how much to read: give one")
            size, _ = chunk_sizes(self.engine, self.chunk_size, self.overlap)
            if self.budget < size:
                raise ValueError(
                    f"budget={self.budget} is less than a chunk: expected chunk_size ({size}) or more"
                )
        object.__setattr__(self, "ranker", build(self.retriever, self.engine))

    @property
    def weights(self) -> dict[str, str]:
        """The retriever's weights."""
        return weights_of(self.ranker)

    def answer(self, context: str, question: str, *, task: Task = PLAIN_QA) -> Answer:
        """All chunks where there are fewer than `k`, flagged. Undefined where there is no question to
        retrieve by."""
        chunks = split_context(self.engine, context, self.chunk_size, self.overlap, self.boundary)
        ranking = retrieve(self.engine, self.ranker, task, question, chunks)
        if self.budget is None:
            picked = self._arrange(ranking.order[: self.k])
        else:
            picked = self._pack(context, chunks, ranking.order, self.budget)
        text, spans = join(context, [chunks[position] for position in picked])
        answer = generate(self.engine, task, text, question, clause=self.clause == "all")
        flags, values = ranking_details(ranking, len(picked))
        few = "fewer_chunks_than_k" if len(chunks) < self.k else ""
        scores = [round(ranking.scores[position], 4) for position in picked]
        details = chunk_details(chunks, picked, *flags, few) | {"scores": scores} | values
        return replace(answer, spans=spans, details=details)

    def _arrange(self, picked: Sequence[int]) -> list[int]:
        return sorted(picked) if self.order == "document" else list(picked)

    def _pack(self, context: str, chunks: Sequence[Chunk], order: Sequence[int], budget: int) -> list[int]:
        """As many of the first chunks of `order` as the reader counts within `budget` tokens once they are
        joined; one at least."""

        def tokens(count: int) -> int:
            text, _ = join(context, [chunks[position] for position in self._arrange(order[:count])])
            return self.engine.count_tokens(text)

        # begun where the chunks' own tokens fill the budget: joined they are nearly as many
        own = list(accumulate(chunks[position].tokens for position in order))
        count = max(1, bisect_right(own, budget))
        while count > 1 and tokens(count) > budget:
            count -= 1
        while count < len(order) and tokens(count + 1) <= budget:
            count += 1
        return self._arrange(order[:count])
