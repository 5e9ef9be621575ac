"""How far back the channels of a Mamba look: the Mamba mean distance, by which UPI (ICLR 2026, OpenReview
MjmORKLHUI) chooses those that it slows down.

The last of L positions reads position j with the weight M_{L,j} = C_L (prod_{k=j+1..L} exp(delta_k A)) B_j delta_j, one
for every channel (Mamba-2: head), and

    MMD = sum_j (L - j) |M_{L,j}| / sum_j |M_{L,j}|

as DeciMamba defines it (Ben-Kish et al. 2025, arXiv 2406.14528). The matrix is never there: its last row is summed
block by block, from the end of the window to its start, with the decay of what was passed so far.

    python -m methods.upi calibrate --model tiny
    python -m pytest tests/models/test_receptive_field.py
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from models.delta import Edit, ScanCall, has_heads, intercepted, mixers, rates

BLOCK = 1024  # tokens whose weights are summed at a time


@dataclass(frozen=True)
class Profile:
    """The receptive fields of a reader: `distance` is the MMD in tokens, [layers, channels or heads], float32 on the
    CPU, averaged over the windows, each of `length` tokens; `model` and `text` are digests; `seconds` is what it
    took."""

    made_by: ClassVar[str] = "methods.upi"
    distance: Tensor
    length: int
    windows: int
    model: str
    text: str
    seconds: float

    def widest(self, share: float) -> Tensor:
        """The `share` of all channels that look furthest back, at least one: bool [layers, channels]. The earlier
        layer, and in it the earlier channel, on a tie."""
        order = self.distance.flatten().sort(descending=True, stable=True).indices
        chosen = torch.zeros(self.distance.numel(), dtype=torch.bool)
        chosen[order[: max(1, round(share * len(order)))]] = True
        return chosen.view_as(self.distance)


def profile(model: Any, read: Callable[[Sequence[int]], object], windows: Sequence[Sequence[int]]) -> Tensor:
    """`distance` of a `Profile`. `read` reads one window of ids with the model; all are of one length."""
    found = mixers(model)
    sums: list[Tensor | float] = [0.0] * len(found)

    def record(layer: int, mixer: Any) -> Edit:
        def edit(call: ScanCall) -> Any:
            sums[layer] = sums[layer] + mean_distance(call, rates(mixer), heads=has_heads(mixer)).cpu()
            return call.run()

        return edit

    with intercepted([(mixer, record(layer, mixer)) for layer, mixer in enumerate(found)]):
        for window in windows:
            read(window)
    return (torch.stack([torch.as_tensor(one) for one in sums]) / len(windows)).float()


def mean_distance(call: ScanCall, A: Tensor, *, heads: bool) -> Tensor:
    """MMD of the last position of a call's first row, float64 [channels or heads]. A is that of `delta.rates`. Zero
    where the position reads nothing."""
    length, count = call.raw.shape[1:]
    weighted = total = torch.zeros(count, dtype=torch.float64, device=call.raw.device)
    passed = torch.zeros_like(total)  # sum of the steps behind the block
    A = A[:, None] if heads else A
    for start in reversed(range(0, length, BLOCK)):
        delta = call.delta(start, start + BLOCK)[0]
        following = delta.double().flip(0).cumsum(0).flip(0) + passed  # from j to the end
        passed = following[0]
        later = (following - delta).float()
        read = _reads(call, start, heads=heads)
        # State by state: with all of them at once a block of a wide reader would take gigabytes.
        terms = (read[..., n] * torch.exp(A[:, n] * later) for n in range(A.shape[1]))
        row = (delta * sum(terms)).abs().double()
        back = torch.arange(length - 1 - start, length - 1 - start - len(row), -1, device=row.device)
        weighted, total = weighted + (back[:, None] * row).sum(0), total + row.sum(0)
    return torch.where(total > 0, weighted / total, 0.0)


def _reads(call: ScanCall, start: int, *, heads: bool) -> Tensor:
    """C_L B_j of a block, float32: [block, 1, states], or summed over the states [block, heads, 1]."""
    _, B, C = call.inputs
    if not heads:  # [batch, states, length]
        return (C[0, :, -1:].float() * B[0, :, start : start + BLOCK].float()).t()[:, None]
    groups = (C[0, -1:].float() * B[0, start : start + BLOCK].float()).sum(-1)
    return groups.repeat_interleave(call.raw.shape[-1] // groups.shape[1], 1)[..., None]
