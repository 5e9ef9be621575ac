"""The ends, the head or the tail of the context, cut to a budget of tokens: the cheapest way to read less.

LongBench (Bai et al. 2024) cuts the middle out of the formatted prompt; here the context alone is cut, so
that instruction and question are whole at any budget.
Exercised by ``--method truncate:keep=tail,budget=500``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, Literal

from benchmarks.base import PLAIN_QA, Task
from methods.base import Answer, Clause, generate
from retrievers.base import check_choice
from retrievers.chunking import Chunk, Cut, cut_places, join

if TYPE_CHECKING:
    from models.engine import Engine

Keep = Literal["ends", "head", "tail"]


@dataclass(frozen=True)
class Truncate:
    """Keeps `budget` tokens of the context (the reader's chunk size unless given): the first, the last, or
    half of each, with a blank line between the halves so that they are not read as one sentence."""

    engine: Engine
    _: KW_ONLY
    keep: Keep = "ends"
    budget: int | None = None
    clause: Clause = "oprm"

    def __post_init__(self) -> None:
        check_choice("keep", self.keep, Keep)
        check_choice("clause", self.clause, Clause)
        if self.budget is not None and self.budget < 1:
            raise ValueError(f"budget={self.budget} is too small: expected at least 1 token of context")

    def answer(self, context: str, question: str, *, task: Task = PLAIN_QA) -> Answer:
        """`spans` are the characters kept; an odd budget gives the tail one token more."""
        with self.engine.phase("split"):
            pieces, tokens = self._pieces(context)
        text, spans = join(context, pieces)
        answer = generate(self.engine, task, text, question, clause=self.clause == "all")
        return replace(answer, spans=spans, details={"tokens": tokens, "kept": sum(p.tokens for p in pieces)})

    def _pieces(self, context: str) -> tuple[list[Chunk], int]:
        """What is kept, and how many tokens the context has."""
        budget = self.engine.spec.chunk_size if self.budget is None else self.budget
        head = {"ends": budget // 2, "head": budget, "tail": 0}[self.keep]
        tail = budget - head
        # A cut that would fall inside a character moves outwards, so that the budget is never exceeded.
        first, latest = (0, 0), deque[Cut](maxlen=tail + 1)
        for cut in cut_places(context, self.engine.offsets(context)):
            first = cut if cut[0] <= head else first
            latest.append(cut)
        whole = latest[-1]
        total, _ = whole
        if total <= budget:
            return [Chunk(0, len(context), context, total)], total
        last = next(cut for cut in latest if cut[0] >= total - tail)
        kept = [(a, b) for a, b in (((0, 0), first), (last, whole)) if a < b]
        return [Chunk(a[1], b[1], context, b[0] - a[0]) for a, b in kept], total
