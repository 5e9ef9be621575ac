"""The question with an empty context: what the reader knows or guesses without reading (a control).

A benchmark that this control scores on is contaminated, or its answers are easily guessed.
Exercised by ``--method closed_book``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from benchmarks.base import PLAIN_QA, Task
from methods.base import Answer, generate

if TYPE_CHECKING:
    from models.engine import Engine


@dataclass(frozen=True)
class ClosedBook:
    """The task's own wording around nothing."""

    engine: Engine
    control: ClassVar[bool] = True

    def answer(self, context: str, question: str, *, task: Task = PLAIN_QA) -> Answer:
        """`context` is not looked at."""
        return generate(self.engine, task, "", question)
