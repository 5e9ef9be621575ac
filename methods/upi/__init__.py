"""UPI (ICLR 2026, OpenReview MjmORKLHUI): the channels that look furthest back read a long prompt in smaller steps.

For a prompt of L tokens, longer than the L0 that the reader was trained on, the steps of the `share` of all channels
(Mamba-2: heads) with the largest Mamba mean distance are divided by n = L / L0, as its authors run it; the exact
form, which rescales the write as well, and YaRN on the attention of hybrids are not there. Other channels are
untouched but for rounding, and so are, to the bit, decoding and a prompt of up to L0 tokens. A reader's distances are
measured once (`models/receptive_field.py`); `text=FILE` does it at the first answer, whose cost then has it as the
phase "calibrate".

    python -m methods.upi calibrate --model tiny
    python run_compare.py --method upi --benchmark "needle:lengths=8k"
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import KW_ONLY, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.base import PLAIN_QA, Task, digest
from methods.base import Answer, Clause, fit, require_delta, require_reach
from methods.calibration import cached, check_source, details_of, even_windows, read, read_text, weights_of
from retrievers.base import check_choice

if TYPE_CHECKING:
    from torch import Tensor

    from models.engine import Engine
    from models.receptive_field import Profile

PAPER_LENGTH = 16_000
WINDOWS = 20


@dataclass(frozen=True)
class UPI:
    """`share` of the channels are slowed down beyond `base` tokens (L0; None: the reader's trained length).
    `calibration` names a file; without it the one in the cache that is this reader's is taken, or one made from
    `text`."""

    engine: Engine
    _: KW_ONLY
    share: float = 0.2
    base: int | None = None
    calibration: Path | None = None
    text: Path | None = None
    clause: Clause = "oprm"

    def __post_init__(self) -> None:
        check_choice("clause", self.clause, Clause)
        if not 0 < self.share <= 1:
            raise ValueError(f"share={self.share:g} slows nothing down: expected above 0, up to 1")
        if self.base is not None and self.base < 1:
            raise ValueError(f"base={self.base} is too small: expected at least 1 token")
        check_source(self.calibration, self.text)
        require_delta(self.engine.model)
        base = self.base or self.engine.spec.trained_length
        if base is None:
            raise ValueError(
                f"the length that {self.engine.spec.name} was trained on is not known: give base=..., in tokens"
            )
        require_reach(self.engine, "upi", base + 1, "give a smaller base=...")
        if self.text is None:
            _ = self._profile  # a reader without a calibration is refused before it reads

    @property
    def weights(self) -> dict[str, str]:
        """The calibration, by the digests of its model and text, or the text that it will be made from."""
        return weights_of(self.text or self._profile)

    def answer(self, context: str, question: str, *, task: Task = PLAIN_QA) -> Answer:
        """One prefill, scaled where the prompt is longer than the base, and one greedy decoding."""
        from models.delta_scaling import scaling

        with self.engine.phase("calibrate"):
            chosen = self._chosen
        ids, cut = fit(self.engine, task, task.prompt(context, question, clause=self.clause == "all"))
        base = self.base or self.engine.spec.trained_length or len(ids)
        scale = max(1.0, len(ids) / base)
        with scaling(self.engine.model, 1 / scale, chosen) if scale > 1 else nullcontext():
            _, prefill = next(self.engine.prefill_batches([ids]))
        text = self.engine.decode(prefill, task.max_new_tokens, stop=task.stop)
        details = {
            "tokens": len(ids),
            "scale": round(scale, 6),
            "scaled_channels": int(chosen.sum()) if scale > 1 else 0,
            **details_of(self._profile),
            "flags": ["triggered"] if scale > 1 else [],
        }
        return Answer(text, details=details, truncated=cut)

    @cached_property
    def _chosen(self) -> Tensor:
        return self._profile.widest(self.share)

    @cached_property
    def _profile(self) -> Profile:
        from models.receptive_field import Profile

        if self.text is not None:
            return calibrate(self.engine, read_text(self.text))
        return read(Profile, self.engine, self.calibration)


def window_length(engine: Engine) -> int:
    """The paper's 16,000 tokens, eight trained lengths where those are fewer, and the trained length where that is
    more; never more than the reader's window."""
    trained = engine.spec.trained_length or PAPER_LENGTH
    length = max(trained, min(8 * trained, PAPER_LENGTH))
    return min(length, engine.window or length)


def calibrate(engine: Engine, text: str, *, windows: int = WINDOWS) -> Profile:
    """The reader's distances on windows at even spacing through `text`: from the cache, or measured and kept there.

    ValueError for a text that is shorter than a window, or no window at all."""
    from models.receptive_field import Profile, profile

    if windows < 1:
        raise ValueError(f"windows={windows}: expected at least 1")
    length = window_length(engine)

    def measured() -> Callable[..., Profile]:
        rows = even_windows(engine, text, length, windows)
        distance = profile(engine.model, lambda row: engine.prefill([row]), rows)
        return partial(Profile, distance, length, windows)

    return cached(Profile, engine, digest(text, str(windows), str(length)), measured)
