"""Every chunk decoded, the best score kept: the ceiling of any rule that selects one chunk (a control).

It looks at the answers. The gap between it and a method that chooses is what a better choice could still win.
Exercised by ``--method best_of_chunks``.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

from benchmarks.base import PLAIN_QA, Example, Task
from methods.base import Answer, Clause, Undefined, check_chunks, chunk_details, decode_each, split_context
from retrievers.base import check_choice
from retrievers.chunking import Boundary, join

if TYPE_CHECKING:
    from models.engine import Engine


@dataclass(frozen=True)
class BestOfChunks:
    """`clause=all` gives its rows OPRM's wording, and so OPRM's ceiling where the clause matters."""

    engine: Engine
    _: KW_ONLY
    chunk_size: int | None = None
    overlap: int | None = None
    boundary: Boundary = "token"
    clause: Clause = "oprm"

    def __post_init__(self) -> None:
        check_choice("clause", self.clause, Clause)
        check_chunks(self.engine, self.chunk_size, self.overlap)

    def answer(self, context: str, question: str, *, example: Example, task: Task = PLAIN_QA) -> Answer:
        """The answer with the best score under the task's metric, the earliest chunk's on a tie.

        Undefined for a task of two turns, whose metric is for the second, which is not asked here."""
        if task.second is not None:
            raise Undefined(f"the best chunk is not defined for task {task.name}: its answer takes two turns")
        chunks = split_context(self.engine, context, self.chunk_size, self.overlap, self.boundary)
        prompts = (task.prompt(chunk.text, question, clause=self.clause == "all") for chunk in chunks)
        texts, cut = decode_each(self.engine, task, prompts)
        scores = [task.score(text, example) for text in texts]
        best = scores.index(max(scores))
        details = chunk_details(chunks, [best]) | {"right": sum(score == 1.0 for score in scores)}
        _, spans = join(context, [chunks[best]])
        return Answer(texts[best], spans, details, truncated=cut)
