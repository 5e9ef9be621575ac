"""The whole context in one prompt: the baseline of every comparison.

A reader with a hard window has its prompt cut in the middle as LongBench does (`methods.base.fit`), which the
record says; a recurrent reader is never cut. `clause=all` adds OPRM's no-answer clause, the ablation that
separates wording from chunking. Exercised by ``--method full`` and ``--method full:clause=all``.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

from benchmarks.base import PLAIN_QA, Task
from methods.base import Answer, Clause, generate
from retrievers.base import check_choice

if TYPE_CHECKING:
    from models.engine import Engine


@dataclass(frozen=True)
class Full:
    """Reads everything, answers once."""

    engine: Engine
    _: KW_ONLY
    clause: Clause = "oprm"

    def __post_init__(self) -> None:
        check_choice("clause", self.clause, Clause)

    def answer(self, context: str, question: str, *, task: Task = PLAIN_QA) -> Answer:
        """One prefill, one greedy decoding."""
        return generate(self.engine, task, context, question, clause=self.clause == "all")
