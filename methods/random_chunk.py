"""One chunk drawn at random: what reading less gains by itself, without choosing (a control).

A random 3,000-token chunk beats the full context on HotPotQA beyond 4K tokens (OPRM, arXiv 2505.07793), which
makes it mandatory beside the methods that choose. Exercised by ``--method random_chunk:seed=1``.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from benchmarks.base import PLAIN_QA, Task, stable_seed
from methods.base import Answer, Clause, check_chunks, chunk_details, generate, split_context
from retrievers.base import check_choice
from retrievers.chunking import Boundary, join

if TYPE_CHECKING:
    from models.engine import Engine


@dataclass(frozen=True)
class RandomChunk:
    """One draw for each context and question, the same on every machine; `seed` makes another."""

    engine: Engine
    _: KW_ONLY
    seed: int = 0
    chunk_size: int | None = None
    overlap: int | None = None
    boundary: Boundary = "token"
    clause: Clause = "oprm"
    control: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_choice("clause", self.clause, Clause)
        check_chunks(self.engine, self.chunk_size, self.overlap)

    def answer(self, context: str, question: str, *, task: Task = PLAIN_QA) -> Answer:
        """Every chunk is as likely as any other."""
        chunks = split_context(self.engine, context, self.chunk_size, self.overlap, self.boundary)
        drawn = stable_seed("random_chunk", self.seed, context, question) % len(chunks)
        text, spans = join(context, [chunks[drawn]])
        answer = generate(self.engine, task, text, question, clause=self.clause == "all")
        return replace(answer, spans=spans, details=chunk_details(chunks, [drawn]))
