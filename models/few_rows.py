"""A few rows times a large weight on a CPU: what decoding a token consists of.

On AMD's processors MKL reads a float32 weight on one thread where there is one row, and slower still where there are a
few; as columns, two at least, they are multiplied on all threads at up to the memory's speed. Numbers are the same but
for the order of sums. (On Intel's, rows are quick and columns slow; in bfloat16 oneDNN is quick either way.)

    python -m pytest tests/models/test_few_rows.py
"""

from __future__ import annotations

import platform
from pathlib import Path
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CPUS = Path("/proc/cpuinfo")
FEW, LARGE = 8, 1 << 19  # rows; numbers of a weight that the second-level cache does not hold


def rows_are_slow() -> bool:
    """Whether torch's own products of a few rows are slow here: on an AMD processor."""
    try:
        named = CPUS.read_text()
    except OSError:
        named = platform.processor()
    return "AuthenticAMD" in named


def attach(model: nn.Module) -> int:
    """Give every large linear layer of a float32 model on the CPU this file's forward, where it is the quicker one;
    returns how many."""
    if not rows_are_slow():
        return 0
    layers: list[Any] = [
        module for module in model.modules() if type(module) is nn.Linear and covered(module.weight)
    ]
    for layer in layers:
        layer.forward = MethodType(forward, layer)
    return len(layers)


def covered(weight: Tensor) -> bool:
    return weight.dtype == torch.float32 and weight.device.type == "cpu" and weight.numel() >= LARGE


def forward(layer: nn.Linear, states: Tensor) -> Tensor:
    """`states` [.., in] to [.., out]. One row alone gains nothing where the weight is wider than high."""
    outputs, inputs = layer.weight.shape
    count = states.numel() // inputs
    if count > FEW or (count == 1 and outputs < inputs) or not covered(layer.weight):
        return F.linear(states, layer.weight, layer.bias)
    rows = states.reshape(count, inputs)
    columns = (rows if count > 1 else rows.repeat(2, 1)).t()
    products = (layer.weight @ columns).t()[:count].contiguous()
    if layer.bias is not None:
        products = products + layer.bias
    return products.reshape(*states.shape[:-1], outputs)
