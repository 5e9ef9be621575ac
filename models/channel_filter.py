"""LongMamba (Ye et al. 2025, arXiv 2504.16053): channels that remember for long skip tokens with small time steps.

Calibration reads windows of the trained length L0 and records the steps. Per channel (Mamba-2: per head), with the
steps clipped to the smallest of their top C percent: the decay P = exp(A sum delta) over a window, the budget
S = sum delta and, for each longer length m, the threshold g(m) above which the window's sorted steps, stretched
to m points, sum up to S. While a prompt is read, channels with P > theta get delta = 0 wherever delta <= g(length).
Differences from the release: thresholds are 0 up to L0 (there, a longer L0 filters nearly everything), a channel of
Mamba-1 has the decay of its slowest state (the release has no Mamba-1), a prompt of exactly 1.5 L0 tokens is filtered
(there, only longer ones), and calibration records the steps themselves: the release's scripts take the softplus of
steps that have been through it, so that theta, P and g of theirs stand on another scale than the steps they meet.

    python -m methods.longmamba calibrate --model tiny
    python -m pytest tests/models/test_channel_filter.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from models.delta import SKIP, Edit, ScanCall, intercepted, mixers, rates

PAPER_LENGTH = 2000
LENGTHS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 30, 36, 44, 54, 64, 80, 96, 120, 144, 168, 192)
"""The paper's table, in thousands of tokens at L0 = 2,000; it grows with L0."""
STRETCHED = 1 << 18  # points of stretched curves at a time: more would leave the cache
BLOCK = 1024  # tokens whose steps are compared at a time


@dataclass(frozen=True)
class Calibration:
    """What is known of a reader's channels, averaged over the windows. `decay` (P) and `total` (S) are [layers,
    channels], `thresholds` (g) [layers, lengths, channels], float32 on the CPU; `model` and `text` are digests;
    `seconds` is what it took."""

    made_by: ClassVar[str] = "methods.longmamba"
    decay: Tensor
    total: Tensor
    thresholds: Tensor
    lengths: tuple[int, ...]
    trained: int
    clip: float
    windows: int
    model: str
    text: str
    seconds: float

    def nearest(self, length: int) -> int:
        """The place in the table of the length nearest to `length`, the shorter one on a tie."""
        return min(range(len(self.lengths)), key=lambda place: abs(self.lengths[place] - length))


def filtered_from(trained: int) -> int:
    """The shortest prompt that is filtered: 3,000 tokens at L0 = 2,000."""
    return trained * 3 // 2


def table_lengths(trained: int) -> tuple[int, ...]:
    return tuple(length * 1000 * trained // PAPER_LENGTH for length in LENGTHS)


def calibrate(
    model: Any, read: Callable[[Sequence[int]], object], windows: Sequence[Sequence[int]], clip: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Decay, total and thresholds of a `Calibration`. `read` reads one window of ids; all are of the length that
    the model was trained on. `clip` is in percent."""
    found = mixers(model)
    trained = len(windows[0])
    sums: list[list[Tensor]] = [[] for _ in found]

    def record(layer: int, A: Tensor) -> Edit:
        def edit(call: ScanCall) -> Any:
            lengths = table_lengths(trained)
            measured = [one.cpu() for one in measure(call.delta()[0].t(), A, lengths, trained, clip)]
            before = sums[layer] or [torch.zeros(()) for _ in measured]
            sums[layer] = [a + b for a, b in zip(before, measured, strict=True)]
            return call.run()

        return edit

    with intercepted([(mixer, record(layer, rates(mixer))) for layer, mixer in enumerate(found)]):
        for window in windows:
            read(window)
    decay, total, thresholds = (torch.stack(one) / len(windows) for one in zip(*sums, strict=True))
    return decay, total, thresholds


def measure(
    delta: Tensor, A: Tensor, lengths: Sequence[int], trained: int, clip: float
) -> tuple[Tensor, Tensor, Tensor]:
    """P [channels], S [channels] and g [lengths, channels] of one window's steps, [channels, trained] float32; A is
    [channels] or [channels, states]."""
    ordered = delta.sort(dim=1, descending=True).values
    top = max(1, int(clip / 100 * trained))
    ordered = ordered.minimum(ordered[:, top - 1 : top])
    total = ordered.sum(1)
    slowest = A if A.dim() == 1 else A.amax(1)
    thresholds = [
        torch.zeros_like(total) if length <= trained else threshold(ordered, total, length)
        for length in lengths
    ]
    return torch.exp(slowest * total), total, torch.stack(thresholds)


def threshold(ordered: Tensor, total: Tensor, length: int) -> Tensor:
    """g(length) [channels]: descending steps [channels, L0] are stretched to `length` points; behind the point at
    which their sum first exceeds `total`, the next one is the threshold."""
    found = []
    for part, limit in zip(
        ordered.split(max(1, STRETCHED // length)), total.split(max(1, STRETCHED // length)), strict=True
    ):
        stretched = F.interpolate(part[None], size=length, mode="linear", align_corners=False)[0]
        above = stretched.double().cumsum(1) > limit[:, None].double()
        crossing = torch.where(above.any(1), above.int().argmax(1), length)
        following = stretched.gather(1, (crossing + 1).clamp(max=length - 1)[:, None])[:, 0]
        found.append(torch.where(crossing + 1 < length, following, 0.0))
    return torch.cat(found)


@dataclass
class Kept:
    """What the filter let through: entries and sums of steps over all global channels, one row's worth each.
    `budget` is the sum of S over them."""

    entries: int = 0
    of: int = 0
    total: float = 0.0
    budget: float = 0.0
    channels: int = 0

    def shares(self) -> dict[str, float]:
        """`kept_share` of the entries, and `kept_sum` of their steps in units of S."""
        return {
            "kept_share": round(self.entries / self.of, 4) if self.of else 1.0,
            "kept_sum": round(self.total / self.budget, 4) if self.budget else 0.0,
        }


@contextmanager
def filtering(model: Any, calibration: Calibration, theta: float, length: int) -> Iterator[Kept]:
    """Prompts of `length` tokens that are read inside the block are filtered; the model is then as it was.

    Nothing at all is changed below `filtered_from` and where no channel is global. The calibration has to be the
    model's (`models/calibration.py`)."""
    found = mixers(model)
    kept = Kept()
    edits: list[tuple[Any, Edit]] = []
    if length >= filtered_from(calibration.trained):
        place = calibration.nearest(length)
        for layer, mixer in enumerate(found):
            chosen = calibration.decay[layer] > theta
            if chosen.any():
                limits = calibration.thresholds[layer, place].where(chosen, torch.tensor(-1.0))
                edits.append((mixer, _filter(limits.to(mixer.A_log.device), kept)))
                kept.channels += int(chosen.sum())
                kept.budget += float(calibration.total[layer][chosen].sum())
    with intercepted(edits):
        yield kept


def _filter(limits: Tensor, kept: Kept) -> Edit:
    """Steps that are not above their channel's limit become zero; a limit of -1 lets every step through."""
    chosen = limits >= 0

    def edit(call: ScanCall) -> Any:
        raw = call.raw.clone()
        rows, length, _ = raw.shape
        for start in range(0, length, BLOCK):
            delta = call.delta(start, start + BLOCK)
            small = delta <= limits
            raw[:, start : start + BLOCK].masked_fill_(small, SKIP)
            kept.entries += int((~small & chosen).sum()) // rows
            kept.total += float(delta.masked_fill(small | ~chosen, 0.0).sum()) / rows
        kept.of += length * int(chosen.sum())
        return call.with_raw(raw).run()

    return edit
