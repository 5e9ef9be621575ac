"""Every time step of a Mamba times a factor while a prompt is read: a state that forgets more slowly and writes less.

One factor for all channels is the control beside the methods that choose channels or tokens (MambaExtend, ICLR 2025,
motivates its calibration with it). Decoding keeps the steps as they are.

    python -m pytest tests/models/test_delta_scaling.py
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from models.delta import Edit, ScanCall, intercepted, mixers


@contextmanager
def scaling(model: Any, factors: float | list[Tensor]) -> Iterator[None]:
    """Prompts that are read inside the block have their steps scaled; the model is then as it was. `factors` is
    one positive number, or for each layer a tensor [channels or heads]. ReaderError for a reader without a delta."""
    found = mixers(model)
    each = [factors] * len(found) if isinstance(factors, float) else factors
    with intercepted([(mixer, _scale(factor)) for mixer, factor in zip(found, each, strict=True)]):
        yield


def _scale(factor: float | Tensor) -> Edit:
    def edit(call: ScanCall) -> Any:
        return call.with_delta(call.delta() * factor).run()

    return edit
