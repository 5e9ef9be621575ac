"""Retrieval: the best chunks by a ranker are read in place of the context, in one prompt.

One chunk of OPRM's length by default, so that both read as much for their answer ("budget-matched"). OPRM's
paper (arXiv 2505.07793) compares with RAG and released no code for it: this is our set-up, no reproduction.
Exercised by ``--method rag`` and ``--method "rag:retriever=bm25(variant=okapi),k=3,order=document"``.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from benchmarks.base import PLAIN_QA, Task
from methods.base import Answer, Clause, check_choice, chunk_details, generate, retrieve, split_context
from retrievers import build
from retrievers.base import Ranker
from retrievers.chunking import Boundary, join

if TYPE_CHECKING:
    from models.engine import Engine

Order = Literal["rank", "document"]


@dataclass(frozen=True)
class RAG:
    """`retriever` is a ranker's SPEC (or a ranker); `k` chunks are joined in the order of their rank or of
    the document, neighbours as they stand in the context and others with a blank line between them."""

    engine: Engine
    _: KW_ONLY
    retriever: str | Ranker = "bm25"
    k: int = 1
    order: Order = "rank"
    chunk_size: int | None = None
    overlap: int | None = None
    boundary: Boundary = "token"
    clause: Clause = "oprm"
    ranker: Ranker = field(init=False)

    def __post_init__(self) -> None:
        check_choice("order", self.order, Order)
        check_choice("clause", self.clause, Clause)
        if self.k < 1:
            raise ValueError(f"k={self.k} is too small: expected at least 1 chunk")
        object.__setattr__(self, "ranker", build(self.retriever, self.engine))

    def answer(self, context: str, question: str, *, task: Task = PLAIN_QA) -> Answer:
        """All chunks where there are fewer than `k`, flagged. Undefined where there is no question to
        retrieve by."""
        chunks = split_context(self.engine, context, self.chunk_size, self.overlap, self.boundary)
        ranking = retrieve(self.engine, self.ranker, task, question, chunks)
        picked = ranking.order[: self.k]
        if self.order == "document":
            picked = sorted(picked)
        text, spans = join(context, [chunks[position] for position in picked])
        answer = generate(self.engine, task, text, question, clause=self.clause == "all")
        flags = [name for name, value in ranking.flags.items() if value is True]
        few = "fewer_chunks_than_k" if len(chunks) < self.k else ""
        values = {name: value for name, value in ranking.flags.items() if not isinstance(value, bool)}
        scores = [round(ranking.scores[position], 4) for position in picked]
        details = chunk_details(chunks, picked, *flags, few) | {"scores": scores} | values
        return replace(answer, spans=spans, details=details)
