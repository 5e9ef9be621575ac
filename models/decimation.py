"""DeciMamba (Ben-Kish et al. 2025, arXiv 2406.14528): a prompt that gets shorter inside the reader.

At a decimating layer the tokens with the largest time steps are kept, q_t = ||delta_t|| over the channels after bias
and softplus (Mamba-2: over the heads), besides a protected tail. Convolution and projections see every token; the
scan runs over the kept ones with the steps that they have, and all later layers read those alone. As in the
authors' released code; see `Decimation` for the one place where theirs is undefined. Decoding is untouched.

    python -m pytest tests/models/test_decimation.py
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from models.delta import PURE, Edit, ScanCall, intercepted, mixers, put, take
from models.specs import ReaderError

BLOCK = 1024  # tokens that are scored at a time: delta in float32 is large, its norm is not


@dataclass(frozen=True)
class Decimation:
    """`layers` decimate, in ascending order; the s-th of them (from 0) keeps int(max(min(n, base beta^s), minimum))
    of the n tokens before the `protected` last ones. Where that is no fewer than n, all are kept (the release
    crashes below `minimum`)."""

    layers: tuple[int, ...]
    base: int
    beta: float = 1.0
    minimum: int = 20
    protected: int = 1

    def kept(self, length: int) -> list[int]:
        """How many of `length` tokens are left after each decimating layer."""
        lengths = []
        for stage in range(len(self.layers)):
            n = max(0, length - self.protected)
            budget = int(max(min(n, self.base * self.beta**stage), self.minimum))
            length -= n - min(n, budget)
            lengths.append(length)
        return lengths


@dataclass
class Survivors:
    """What decimation left: `positions` in the prompt, ascending, [rows, kept] on the CPU; None before a prompt
    was shortened."""

    positions: Tensor | None = None


@dataclass
class _Stage:
    """One decimating layer between its scan, which chooses, and the end of its block, which drops."""

    first: bool
    kept: int
    protected: int
    survivors: Survivors
    keep: Tensor | None = field(default=None, init=False)

    def scan(self, call: ScanCall) -> Any:
        length = call.raw.shape[1]
        self.keep = None
        if self.first:
            self.survivors.positions = None  # another prompt's
        if self.kept >= length:
            return call.run()
        self.keep = keep = choose(scores(call), self.kept, self.protected)
        result = call.at(keep).run()
        # The gate and the projection that follow are a matter of each position: what they make of the
        # others is dropped behind the block.
        if isinstance(result, tuple):
            return put(result[0], keep, call.time, length), result[1]
        return put(result, keep, call.time, length)

    def drop(self, block: Any, inputs: Any, hidden: Tensor) -> Tensor:
        if self.keep is None:
            return hidden
        kept, before = self.keep.cpu(), self.survivors.positions
        self.survivors.positions = kept if before is None else before.gather(1, kept)
        return take(hidden, self.keep, 1)


@contextmanager
def decimating(model: Any, plan: Decimation, length: int) -> Iterator[Survivors]:
    """Prompts of `length` tokens that are read inside the block are decimated; the model is then as it was.

    Nothing at all is changed where the plan keeps every token. ReaderError for a reader that is not Mamba,
    Falcon-Mamba or Mamba-2, or has too few layers."""
    scans = check(model, plan)
    survivors = Survivors()
    kept = plan.kept(length)
    if kept[-1] == length:
        yield survivors
        return
    stages = [_Stage(i == 0, count, plan.protected, survivors) for i, count in enumerate(kept)]
    edits: list[tuple[Any, Edit]] = [
        (scans[layer], stage.scan) for layer, stage in zip(plan.layers, stages, strict=True)
    ]
    with intercepted(edits), ExitStack() as hooks:
        for layer, stage in zip(plan.layers, stages, strict=True):
            hook = model.backbone.layers[layer].register_forward_hook(stage.drop)
            hooks.callback(hook.remove)
        yield survivors


def decimable(model: Any) -> list[Any]:
    """The model's mixers, one a layer. ReaderError if it has none, or attention besides."""
    found = mixers(model)
    if model.config.model_type not in PURE:
        raise ReaderError(
            f"decimation is not defined for a {model.config.model_type} reader, whose attention would lose "
            "positions: expected Mamba, Falcon-Mamba or Mamba-2"
        )
    return found


def check(model: Any, plan: Decimation) -> list[Any]:
    """The model's mixers, one a layer. ReaderError if it cannot be decimated, or has not the plan's layers."""
    found = decimable(model)
    wrong = [layer for layer in plan.layers if not 0 <= layer < len(found)]
    if wrong or not plan.layers or list(plan.layers) != sorted(set(plan.layers)):
        given = ";".join(map(str, plan.layers)) or "none"
        raise ReaderError(
            f"layers={given}: expected ascending layers of the reader's {len(found)}, 0 to {len(found) - 1}"
        )
    return found


def scores(call: ScanCall) -> Tensor:
    """||delta_t|| over the channels or heads: float32 [batch, length]."""
    length = call.raw.shape[1]
    parts = [call.delta(start, start + BLOCK).norm(dim=-1) for start in range(0, length, BLOCK)]
    return torch.cat(parts, 1)


def choose(values: Tensor, count: int, protected: int) -> Tensor:
    """Ascending positions [batch, count]: the last `protected` and, of the others, those of the largest values
    [batch, length] (the earlier one on a tie)."""
    length = values.shape[1]
    n = length - protected
    order = values[:, :n].sort(dim=1, descending=True, stable=True).indices
    best = order[:, : count - protected].sort(dim=1).values
    tail = torch.arange(n, length, device=values.device).expand(len(values), -1)
    return torch.cat([best, tail], 1)
