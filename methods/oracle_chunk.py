"""The chunk that holds the most evidence: the answer if the choice were perfect (a control).

The gap between `oracle_chunk` and a method that chooses is that method's error of selection; what is left is
the reader's. Exercised by ``--method oracle_chunk``.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.base import PLAIN_QA, Example, Task
from methods.base import Answer, Clause, Undefined, check_chunks, chunk_details, generate, split_context
from retrievers.base import check_choice
from retrievers.chunking import Boundary, Chunk, join

if TYPE_CHECKING:
    from models.engine import Engine


@dataclass(frozen=True)
class OracleChunk:
    """Looks at the example's evidence, not at its answers."""

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
        """The chunk with the most whole evidence spans, the earliest on a tie. Where the chunks' borders cut
        every span, the chunk with the most characters of evidence, flagged `evidence_cut`.

        Undefined for an example without evidence."""
        if not example.evidence:
            raise Undefined(f"example {example.id} has no evidence to choose a chunk by")
        chunks = split_context(self.engine, context, self.chunk_size, self.overlap, self.boundary)
        measure = (
            _whole_spans if any(_whole_spans(chunk, example) for chunk in chunks) else _evidence_characters
        )
        best = max(range(len(chunks)), key=lambda position: measure(chunks[position], example))
        text, spans = join(context, [chunks[best]])
        answer = generate(self.engine, task, text, question, clause=self.clause == "all")
        flag = "" if measure is _whole_spans else "evidence_cut"
        return replace(answer, spans=spans, details=chunk_details(chunks, [best], flag))


def _whole_spans(chunk: Chunk, example: Example) -> int:
    return sum(chunk.start <= start and end <= chunk.end for start, end in example.evidence)


def _evidence_characters(chunk: Chunk, example: Example) -> int:
    return sum(max(0, min(end, chunk.end) - max(start, chunk.start)) for start, end in example.evidence)
