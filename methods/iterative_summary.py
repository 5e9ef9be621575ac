"""Read chunk by chunk, carrying a written summary: the loop of Smooth Reading (arXiv 2507.19353) and MemAgent
(arXiv 2507.02259) without their training.

Before every chunk but the first the reader sees what it wrote so far; after every chunk it writes it anew, the
question in view, or the task's wording where that says more (the options of a choice, an instruction without a
question); the answer is decoded from the last summary alone, in the task's own wording. For instruct readers of
any architecture, those without a time step included; untrained readers follow it as well as they can.
Exercised by ``--model smollm2 --method iterative_summary:chunk_size=2000``.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.base import PLAIN_QA, Task
from methods.base import Answer, Clause, check_chunks, chunk_details, generate, split_context
from retrievers.base import check_choice
from retrievers.chunking import Boundary

if TYPE_CHECKING:
    from models.engine import Engine

SUMMARIZE = Task(
    name="summary",
    before="Read the text and write down, in a few short sentences, every fact in the notes or in the text "
    "that helps to answer the question. Do not answer it yet.\n\nQuestion: {question}\n\n",
    after="\n\nNew notes:",
    metric="value",
    max_new_tokens=128,
    stop=("\n\n",),
)


@dataclass(frozen=True)
class IterativeSummary:
    """`summary_tokens` is the room for the notes; a context of one chunk is read as `full` reads it."""

    engine: Engine
    _: KW_ONLY
    chunk_size: int | None = None
    overlap: int | None = None
    boundary: Boundary = "token"
    summary_tokens: int = SUMMARIZE.max_new_tokens
    clause: Clause = "oprm"

    def __post_init__(self) -> None:
        check_choice("clause", self.clause, Clause)
        check_chunks(self.engine, self.chunk_size, self.overlap)
        if self.summary_tokens < 1:
            raise ValueError(f"summary_tokens={self.summary_tokens} is too small: expected at least 1")

    def answer(self, context: str, question: str, *, task: Task = PLAIN_QA) -> Answer:
        """One call a chunk and one for the answer; `notes` of the details is what the answer was read from."""
        chunks = split_context(self.engine, context, self.chunk_size, self.overlap, self.boundary)
        every = chunk_details(chunks, range(len(chunks)), "single_chunk" if len(chunks) == 1 else "")
        clause = self.clause == "all"
        if len(chunks) == 1:
            return replace(generate(self.engine, task, context, question, clause=clause), details=every)
        step = replace(SUMMARIZE, chat=task.chat, max_new_tokens=self.summary_tokens)
        # a task's slots hold what its question leaves open
        asked = question if task.asks and not task.slots else task.prompt("", question).strip()
        notes, cut = "", False
        for chunk in chunks:
            text = f"Notes so far: {notes}\n\nText: {chunk.text}" if notes else f"Text: {chunk.text}"
            written = generate(self.engine, step, text, asked or "What is the text about?")
            notes, cut = written.text.strip() or notes, cut or written.truncated
        answer = generate(self.engine, task, notes, question, clause=clause)
        return replace(answer, details=every | {"notes": notes}, truncated=answer.truncated or cut)
