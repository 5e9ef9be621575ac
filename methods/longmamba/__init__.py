"""LongMamba (Ye et al. 2025, arXiv 2504.16053): channels with a long memory read the tokens with large time steps
only (`models/channel_filter.py`).

Every token of the prompt is filtered, question and cue included; decoding is untouched, and so is, to the bit, a
prompt below one and a half trained lengths. A reader is calibrated once. The file is kept under a digest of the
model and one of the text in ~/.cache/run-compare/longmamba (or $XDG_CACHE_HOME); `text=FILE` calibrates at the
first answer, whose cost then has it as the phase "calibrate".

    python -m methods.longmamba calibrate --model tiny
    python run_compare.py --method longmamba --benchmark "needle:lengths=8k"
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.base import PLAIN_QA, Task, digest
from methods.base import Answer, Clause, fit, require_reach
from methods.calibration import cached, check_source, details_of, even_windows, read, read_text, weights_of
from retrievers.base import check_choice

if TYPE_CHECKING:
    from models.channel_filter import Calibration
    from models.engine import Engine

THETA = {"channels": 1e-30, "heads": 5e-2}
CLIP = {"channels": 20.0, "heads": 5.0}
"""The paper's settings: Mamba-1.4B's and Mamba2-1.3B's."""
WINDOWS = 5


@dataclass(frozen=True)
class LongMamba:
    """Channels whose state keeps more than `theta` of itself over the trained length are filtered. `clip` (percent)
    belongs to the calibration, and `theta` is read on its scale. `calibration` names a file; without it the one in
    the cache that is this reader's is taken, or one made from `text`."""

    engine: Engine
    _: KW_ONLY
    calibration: Path | None = None
    text: Path | None = None
    theta: float | None = None
    clip: float | None = None
    clause: Clause = "oprm"

    def __post_init__(self) -> None:
        check_choice("clause", self.clause, Clause)
        if self.theta is not None and not 0 <= self.theta < 1:
            raise ValueError(f"theta={self.theta} is no share of a state: expected 0 to 1")
        if self.clip is not None and self.text is None:
            raise ValueError(
                f"clip={self.clip:g} belongs to a calibration that is made: give text=FILE beside it, or a file "
                f"of python -m methods.longmamba calibrate --clip {self.clip:g}"
            )
        check_source(self.calibration, self.text)
        kind(self.engine.model)  # a reader without a delta is refused before it reads
        if self.engine.spec.trained_length is not None:
            window_length(self.engine)  # and one that would be calibrated for nothing
        if self.text is None:
            _ = self._calibrated  # and so is one without a calibration

    @property
    def weights(self) -> dict[str, str]:
        """The calibration, by the digests of its model and text, or the text that it will be made from."""
        return weights_of(self.text or self._calibrated)

    def answer(self, context: str, question: str, *, task: Task = PLAIN_QA) -> Answer:
        """One filtered prefill, one greedy decoding."""
        from models.channel_filter import filtering

        with self.engine.phase("calibrate"):
            calibration = self._calibrated
        ids, cut = fit(self.engine, task, task.prompt(context, question, clause=self.clause == "all"))
        with filtering(self.engine.model, calibration, self._theta, len(ids)) as kept:
            _, prefill = next(self.engine.prefill_batches([ids]))
        text = self.engine.decode(prefill, task.max_new_tokens, stop=task.stop)
        details: dict[str, Any] = {"tokens": len(ids), **kept.shares()}
        details["global_channels"] = round(kept.channels / calibration.decay.numel(), 4)
        details |= details_of(calibration)
        details["flags"] = ["triggered"] if kept.entries < kept.of else []
        return Answer(text, details=details, truncated=cut)

    @cached_property
    def _theta(self) -> float:
        return THETA[kind(self.engine.model)] if self.theta is None else self.theta

    @cached_property
    def _calibrated(self) -> Calibration:
        from models.channel_filter import Calibration

        if self.text is not None:
            return calibrate(self.engine, read_text(self.text), clip=self.clip)
        return read(Calibration, self.engine, self.calibration)


def kind(model: Any) -> str:
    """Whose steps the reader's are: "heads" or "channels". ReaderError for a reader without a delta."""
    from models.delta import has_heads, mixers

    return "heads" if has_heads(mixers(model)[0]) else "channels"


def window_length(engine: Engine) -> int:
    """The length that the reader was trained on, in whole thousands as in the paper (2,000 of 2,048).

    ValueError where it is not known, or where the reader's window ends before any prompt is filtered."""
    from models.channel_filter import filtered_from

    trained = engine.spec.trained_length
    if trained is None:
        raise ValueError(
            f"the length that {engine.spec.name} was trained on is not known: expected a reader of models/specs.py"
        )
    length = trained // 1000 * 1000 or trained
    remedy = "expected a reader with a longer window, or without one"
    require_reach(engine, "longmamba", filtered_from(length), remedy)
    return length


def calibrate(engine: Engine, text: str, *, clip: float | None = None, windows: int = WINDOWS) -> Calibration:
    """The reader's calibration on windows at even spacing through `text`: from the cache, or made and kept there.

    ValueError for a text that is shorter than a window, or settings that cannot be."""
    from models.channel_filter import Calibration, table_lengths
    from models.channel_filter import calibrate as measure

    clip = CLIP[kind(engine.model)] if clip is None else clip
    if not 0 < clip <= 100 or windows < 1:
        raise ValueError(f"clip={clip:g} percent over {windows} windows: expected 0 to 100 and at least 1")

    def measured() -> Callable[..., Calibration]:
        length = window_length(engine)
        rows = even_windows(engine, text, length, windows)
        sums = measure(engine.model, lambda row: engine.prefill([row]), rows, clip)
        return partial(Calibration, *sums, table_lengths(length), length, clip, windows)

    return cached(Calibration, engine, digest(text, f"{clip:g}", str(windows)), measured)
