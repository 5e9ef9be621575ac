"""Tensors as the kernels take them: float32 arrays with a dense last axis, states in blocks of sixteen channels, the
lanes of one vector (`models/vector_math.py`).

    python -m pytest tests/models/test_lane_layout.py
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.vector_math import LANES


def dense(tensor: Tensor) -> Tensor:
    """float32 with a dense last axis; no copy where it is so already."""
    tensor = tensor.float()
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def lane_blocks(tensor: Tensor) -> Tensor:
    """[.., channels, n] -> [.., channels / 16, n, 16], a dense copy: a block's channels side by side."""
    *rows, channels, n = tensor.shape
    blocks = tensor.reshape(*rows, channels // LANES, LANES, n).transpose(-1, -2)
    return blocks.clone(memory_format=torch.contiguous_format)


def channel_rows(blocks: Tensor) -> Tensor:
    """The inverse of `lane_blocks`."""
    *rows, count, n, _ = blocks.shape
    return blocks.transpose(-1, -2).reshape(*rows, count * LANES, n)


def arrays(*tensors: Tensor) -> list[np.ndarray]:
    """The same memory, as numba takes it."""
    return [tensor.detach().numpy() for tensor in tensors]
