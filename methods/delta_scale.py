"""One constant for all time steps: the cheapest way to make a Mamba forget less, and the yardstick beside DeciMamba,
LongMamba and UPI, which choose.

A factor below 1 slows the decay of every channel and weakens every write alike. `factor=none` is the trained length
over the prompt's, where that is shorter. Decoding keeps the reader's own steps.
Exercised by ``--method delta_scale:factor=0.5``.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

from benchmarks.base import PLAIN_QA, Task
from methods.base import Answer, Clause, fit, require_delta, require_reach
from retrievers.base import check_choice

if TYPE_CHECKING:
    from models.engine import Engine


@dataclass(frozen=True)
class DeltaScale:
    """`factor` scales every step of the prompt; None fits it to the prompt's length."""

    engine: Engine
    _: KW_ONLY
    factor: float | None = None
    clause: Clause = "oprm"

    def __post_init__(self) -> None:
        check_choice("clause", self.clause, Clause)
        if self.factor is not None and self.factor <= 0:
            raise ValueError(f"factor={self.factor} is too small: expected a number above 0")
        require_delta(self.engine.model)
        if self.factor is None:
            trained = self.engine.spec.trained_length
            if trained is None:
                raise ValueError(
                    f"the length that {self.engine.spec.name} was trained on is not known: give factor=..."
                )
            require_reach(self.engine, "delta_scale", trained + 1, "give factor=...")

    def answer(self, context: str, question: str, *, task: Task = PLAIN_QA) -> Answer:
        """One scaled prefill, one greedy decoding. With a factor of 1 nothing is touched."""
        from models.delta_scaling import scaling

        ids, cut = fit(self.engine, task, task.prompt(context, question, clause=self.clause == "all"))
        factor = self._factor(len(ids))
        with scaling(self.engine.model, factor) if factor != 1 else nullcontext():
            _, prefill = next(self.engine.prefill_batches([ids]))
        text = self.engine.decode(prefill, task.max_new_tokens, stop=task.stop)
        flags = [] if factor == 1 else ["triggered"]
        return Answer(
            text, details={"tokens": len(ids), "factor": round(factor, 6), "flags": flags}, truncated=cut
        )

    def _factor(self, length: int) -> float:
        if self.factor is not None:
            return self.factor
        return min(1.0, (self.engine.spec.trained_length or length) / length)
