"""DeciMamba (Ben-Kish et al. 2025, arXiv 2406.14528): the tokens that the reader's own time steps call important.

At a few layers the prompt is cut to those with the largest steps (`models/decimation.py`), and one prefill and one
decoding go on from there. `variant=maxp` is the released code while it generates: only the last token is safe, and
the question competes like any other text. `variant=tail` protects whatever follows the context, question and answer
cue. Nothing changes, to the bit, where the unprotected tokens are no more than the last decimating layer keeps, which
is `base` unless `beta` is below 1. Layers and base come from the reader's row in `models/specs.py`; for a reader
without them a sweep on a dev split proposes some.

    python run_compare.py --method decimamba:variant=tail --benchmark "needle:lengths=8k"
    python -m methods.decimamba sweep --model tiny --benchmark "needle:lengths=8k"
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.base import PLAIN_QA, Task
from methods.base import Answer, Clause, fit, tail_tokens
from retrievers.base import check_choice

if TYPE_CHECKING:
    from models.decimation import Decimation, Survivors
    from models.engine import Engine

Variant = Literal["maxp", "tail"]


@dataclass(frozen=True)
class DeciMamba:
    """The s-th decimating layer (from 0) keeps int(max(min(n, base beta^s), minimum)) of the n unprotected tokens
    that reach it."""

    engine: Engine
    _: KW_ONLY
    variant: Variant = "maxp"
    layers: tuple[int, ...] = ()
    base: int | None = None
    beta: float = 1.0
    minimum: int = 20
    clause: Clause = "oprm"

    def __post_init__(self) -> None:
        check_choice("variant", self.variant, Variant)
        check_choice("clause", self.clause, Clause)
        for option, value in (("base", self.base), ("minimum", self.minimum)):
            if value is not None and value < 1:
                raise ValueError(f"{option}={value} is too small: expected at least 1 token")
        if not 0 < self.beta <= 1:
            raise ValueError(
                f"beta={self.beta} is outside of 0 to 1: later layers keep no more than earlier ones"
            )
        _check_layers(self.engine.model)  # a reader without a delta is refused before it reads
        self._plan(1)  # and so is one without those layers

    def answer(self, context: str, question: str, *, task: Task = PLAIN_QA) -> Answer:
        """One decimated prefill, one greedy decoding from what is left."""
        from models.decimation import decimating

        ids, cut = fit(self.engine, task, task.prompt(context, question, clause=self.clause == "all"))
        tail = tail_tokens(self.engine, task, context, question, clause=self.clause == "all")
        plan = self._plan(tail if self.variant == "tail" else 1)
        with decimating(self.engine.model, plan, len(ids)) as survivors:
            _, prefill = next(self.engine.prefill_batches([ids]))
        text = self.engine.decode(prefill, task.max_new_tokens, stop=task.stop)
        return Answer(text, details=_details(len(ids), tail, survivors), truncated=cut)

    @cached_property
    def _settings(self) -> tuple[tuple[int, ...], int]:
        """Layers and base: what was given, or else the reader's own."""
        spec = self.engine.spec
        layers, base = spec.decimated or ((), spec.trained_length)
        layers, base = self.layers or layers, self.base or base
        if not layers:
            raise ValueError(
                f"no decimating layers are known for {spec.name}: give layers=..., or look for them with python -m "
                f"methods.decimamba sweep --model {spec.name}"
            )
        if base is None:
            raise ValueError(
                f"the length that {spec.name} was trained on is not known: give base=..., the tokens to keep"
            )
        return layers, base

    def _plan(self, protected: int) -> Decimation:
        from models.decimation import Decimation, check

        layers, base = self._settings
        plan = Decimation(layers, base, self.beta, self.minimum, protected)
        check(self.engine.model, plan)
        return plan


def _check_layers(model: Any) -> None:
    from models.decimation import decimable

    decimable(model)


def _details(length: int, tail: int, survivors: Survivors) -> dict[str, Any]:
    """`kept` of `tokens` reach the answer; `question_kept` is the share of the tokens after the context (question
    and cue) that do."""
    positions = survivors.positions
    kept = length if positions is None else positions.shape[1]
    question = tail if positions is None else int((positions >= length - tail).sum())
    return {
        "tokens": length,
        "kept": kept,
        "kept_share": round(kept / length, 4),
        "question_kept": round(question / tail, 4),
        "flags": ["triggered"] if kept < length else [],
    }
