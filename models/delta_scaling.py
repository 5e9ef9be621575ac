"""Time steps of a Mamba times a factor while a prompt is read: a state that forgets more slowly and writes less.

One factor for all channels is the yardstick beside the methods that choose channels or tokens (MambaExtend, ICLR 2025,
motivates its calibration with it). A factor for the channels that look furthest back, and none for the others, is UPI
(ICLR 2026) in the simple form that its authors run. Decoding keeps the steps as they are.

    python -m pytest tests/models/test_delta_scaling.py
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from models.delta import Edit, ScanCall, intercepted, mixers


@contextmanager
def scaling(model: Any, factor: float, chosen: Tensor | None = None) -> Iterator[None]:
    """Prompts that are read inside the block have their steps scaled by `factor`, above 0; the model is then as it
    was. `chosen`, bool [layers, channels or heads], says whose steps; without it, everyone's. ReaderError for a
    reader without a delta."""
    found = mixers(model)
    rows: list[Tensor | None] = [None] * len(found) if chosen is None else list(chosen)
    edits = [
        (mixer, _scaled(factor, row if row is None else row.to(mixer.A_log.device)))
        for mixer, row in zip(found, rows, strict=True)
        if row is None or row.any()
    ]
    with intercepted(edits):
        yield


def _scaled(factor: float, chosen: Tensor | None) -> Edit:
    def edit(call: ScanCall) -> Any:
        delta = call.delta()
        scaled = delta * factor if chosen is None else torch.where(chosen, delta * factor, delta)
        return call.with_delta(scaled).run()

    return edit
