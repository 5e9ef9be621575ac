"""YaRN (Peng et al. 2024, arXiv 2309.00071): the whole context in one prompt, by a transformer whose rotary positions
are stretched beyond its window (`models/rope.py`). The reference row for attention, beside the recurrent readers.

With `factor` the window is `factor` times as long, for short prompts too, as Qwen advises for static YaRN; beyond
that the prompt is cut as `full` cuts it. Exercised by ``--model smollm2 --method yarn:factor=4``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmarks.base import PLAIN_QA, Task
from methods.base import Answer, Clause, generate
from retrievers.base import check_choice

if TYPE_CHECKING:
    from models.engine import Engine


@dataclass(frozen=True)
class Yarn:
    """Reads `factor` times the reader's window."""

    engine: Engine
    _: KW_ONLY
    factor: float = 4.0
    clause: Clause = "oprm"

    def __post_init__(self) -> None:
        check_choice("clause", self.clause, Clause)
        if self.factor <= 1:
            raise ValueError(f"factor={self.factor} stretches nothing: expected a number above 1")
        _check_positions(self.engine.model)

    def answer(self, context: str, question: str, *, task: Task = PLAIN_QA) -> Answer:
        """One prefill and one greedy decoding, both with stretched positions."""
        from models.rope import yarn

        window = self.engine.window
        if window is None:
            raise ValueError(f"{self.engine.spec.name} has no window to stretch: use full")
        with yarn(self.engine.model, self.factor, window), self._longer_window(int(window * self.factor)):
            answer = generate(self.engine, task, context, question, clause=self.clause == "all")
        return replace(answer, details={"window": int(window * self.factor)})

    @contextmanager
    def _longer_window(self, window: int) -> Iterator[None]:
        before = self.engine.window
        self.engine.window = window
        try:
            yield
        finally:
            self.engine.window = before


def _check_positions(model: Any) -> None:
    from models.rope import check

    check(model)
