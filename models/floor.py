"""What a reader's forward calls take, and the least they could: the time of its linear layers alone.

No scan, however fast, makes a reader quicker than its matrix products; how far a run is above that floor
says what the kernels cost. Exercised by ``python -m models.efficiency`` and ``pytest
tests/models/test_floor.py``.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

PIECE = 4096
"""Tokens that the floor multiplies at a time: beyond, the time of a matrix product is proportional to them."""
REPEATS = 3


@dataclass
class ForwardCalls:
    """`shapes` counts the forward calls by (rows, tokens in all); `seconds` is the time spent inside them."""

    shapes: Counter[tuple[int, int]] = field(default_factory=Counter)
    seconds: float = 0.0


@contextmanager
def watch_forwards(model: nn.Module, synchronize: Callable[[], None]) -> Iterator[ForwardCalls]:
    """Counts and times the model's forward calls in the block; `synchronize` drains the device's queue."""
    calls, started = ForwardCalls(), 0.0

    def enter(_: nn.Module, __: Any, given: dict[str, Any]) -> None:
        nonlocal started
        synchronize()
        rows, length = given["input_ids"].shape
        calls.shapes[rows, sum(given.get("lengths") or [rows * length])] += 1
        started = time.perf_counter()

    def leave(*_: Any) -> None:
        synchronize()
        calls.seconds += time.perf_counter() - started

    hooks = [model.register_forward_pre_hook(enter, with_kwargs=True), model.register_forward_hook(leave)]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


@torch.inference_mode()
def floor_seconds(model: Any, shapes: Counter[tuple[int, int]], synchronize: Callable[[], None]) -> float:
    """Seconds that the linear layers of `model` take for forward calls of these shapes, and nothing else.

    The head multiplies the last position of a row only. A call of more than `PIECE` tokens is timed on a
    piece of it and scaled; every product is timed `REPEATS` times and the best counts."""
    head = model.get_output_embeddings()
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear) and layer is not head]
    total = 0.0
    for (rows, tokens), count in shapes.items():
        piece = min(tokens, PIECE)
        seconds = _product_seconds(layers, piece, synchronize) * tokens / piece
        if head is not None:
            seconds += _product_seconds([head], rows, synchronize)
        total += count * seconds
    return total


def _product_seconds(layers: list[Any], tokens: int, synchronize: Callable[[], None]) -> float:
    inputs = {layer.in_features: layer.weight.new_ones(tokens, layer.in_features) for layer in layers}
    best = float("inf")
    for _ in range(REPEATS):
        synchronize()
        started = time.perf_counter()
        for layer in layers:
            layer(inputs[layer.in_features])
        synchronize()
        best = min(best, time.perf_counter() - started)
    return best
