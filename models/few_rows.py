"""A few rows times a large weight on a CPU: what decoding a token consists of.

On AMD's processors MKL reads a float32 weight on one thread where there is one row, and slower still where there are a
few; as columns, two at least, they are multiplied on all threads at up to the memory's speed. (On Intel's, rows are
quick and columns slow.) Where the processor has tiles for bfloat16 (AMX), oneDNN takes one for a single row; as a
vector it is multiplied at up to 1.8 times the speed. Numbers are the same but for the order of sums.

    python -m pytest tests/models/test_few_rows.py
"""

from __future__ import annotations

import platform
from functools import lru_cache
from pathlib import Path
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.amx_product import AMX

CPUS = Path("/proc/cpuinfo")
FEW, LARGE = 8, 1 << 19  # rows; numbers of a float32 weight that the second-level cache does not hold
LARGE_WORDS = 100_000  # numbers of a bfloat16 weight that take longer than another call


@lru_cache(maxsize=1)
def rows_are_slow() -> bool:
    """Whether torch's own products of a few float32 rows are slow here: on an AMD processor."""
    try:
        named = CPUS.read_text()
    except OSError:
        named = platform.processor()
    return "AuthenticAMD" in named


def attach(model: nn.Module) -> int:
    """Give every large linear layer of a model on the CPU this file's forward, where it is the quicker one; returns how
    many."""
    layers: list[Any] = [
        module for module in model.modules() if type(module) is nn.Linear and covered(module.weight)
    ]
    for layer in layers:
        layer.forward = MethodType(forward, layer)
    return len(layers)


def covered(weight: Tensor) -> bool:
    """Whether a few rows times this weight are quicker here than torch's own product."""
    if weight.device.type != "cpu":
        return False
    if weight.dtype == torch.bfloat16:
        return AMX and weight.numel() >= LARGE_WORDS
    return weight.dtype == torch.float32 and weight.numel() >= LARGE and rows_are_slow()


def forward(layer: nn.Linear, states: Tensor) -> Tensor:
    """`states` [.., in] to [.., out]. One float32 row alone gains nothing where the weight is wider than high."""
    outputs, inputs = layer.weight.shape
    count = states.numel() // inputs
    quicker = states.dtype == layer.weight.dtype and covered(layer.weight)
    if quicker and count == 1 and states.dtype == torch.bfloat16:
        product = _of_vector(layer, states.reshape(inputs))
    elif (
        quicker and states.dtype == torch.float32 and (1 < count <= FEW or (count == 1 and outputs >= inputs))
    ):
        product = _of_columns(layer, states.reshape(count, inputs))
    else:
        return F.linear(states, layer.weight, layer.bias)
    return product.reshape(*states.shape[:-1], outputs)


def _of_vector(layer: nn.Linear, states: Tensor) -> Tensor:
    """`states` [in] to [out]."""
    if layer.bias is None:
        return layer.weight @ states
    return torch.addmv(layer.bias, layer.weight, states)


def _of_columns(layer: nn.Linear, rows: Tensor) -> Tensor:
    """`rows` [count, in] to [count, out]."""
    columns = (rows if len(rows) > 1 else rows.repeat(2, 1)).t()
    products = (layer.weight @ columns).t()[: len(rows)].contiguous()
    return products if layer.bias is None else products + layer.bias
