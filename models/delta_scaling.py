"""Every time step of a Mamba times a factor while a prompt is read: a state that forgets more slowly and writes less.

One factor for all channels is the control beside the methods that choose channels or tokens (MambaExtend, ICLR 2025,
motivates its calibration with it). Decoding keeps the steps as they are.

    python -m pytest tests/models/test_delta_scaling.py
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from models.delta import ScanCall, intercepted, mixers


@contextmanager
def scaling(model: Any, factor: float) -> Iterator[None]:
    """Prompts that are read inside the block have their steps scaled by `factor`, above 0; the model is then as it
    was. ReaderError for a reader without a delta."""

    def edit(call: ScanCall) -> Any:
        return call.with_delta(call.delta() * factor).run()

    with intercepted([(mixer, edit) for mixer in mixers(model)]):
        yield
