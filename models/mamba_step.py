"""One token through a mixer of Mamba-1 or Falcon-Mamba on a CPU: what decoding consists of.

Between the products, which torch does, lie the convolution and one step of the scan (the equations of
`models/selective_scan.py`). Each is a kernel here that takes the mixer's parameters and the cache's states as they lie
in memory and moves the states on there: in float32 nothing is transposed or copied for a single token. No kernel checks
bounds; `moves_on` looks at the shapes.

    python -m pytest tests/models/test_mamba_step.py
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from models.compiling import build
from models.lane_layout import arrays, dense
from models.threads import share, workers_for
from models.vector_math import LANES, LOG2_E, exp2, fill, load, sigmoid, softplus, store, total


def conv(worker, first, last, x, weight, bias, state, y):
    """x, y [batch, channels]; weight [channels, width]; state [batch, channels, width], the last inputs, moves on by
    one. A task is a block of sixteen channels of a sequence."""
    blocks, width = x.shape[1] // LANES, weight.shape[1]
    for task in range(first, last):
        b, start = task // blocks, task % blocks * LANES
        for c in range(start, start + LANES):
            out = bias[c]
            for k in range(width - 1):
                state[b, c, k] = state[b, c, k + 1]
                out += weight[c, k] * state[b, c, k]
            state[b, c, width - 1] = x[b, c]
            y[b, c] = out + weight[c, width - 1] * x[b, c]
        out = load(y, (b, start))
        store(y, (b, start), out * sigmoid(out))


def scan(worker, first, last, x, dt, B, C, z, A_log, D, bias, state, y):
    """x, dt, z, y [batch, channels]; B, C [batch, n]; A_log [channels, n]; state [batch, channels, n] moves on by one
    step. A task is a block of sixteen channels of a sequence."""
    blocks, n = x.shape[1] // LANES, A_log.shape[1]
    for task in range(first, last):
        b, start = task // blocks, task % blocks * LANES
        store(y, (b, start), softplus(load(dt, (b, start)) + load(bias, (start,))))
        for c in range(start, start + LANES):
            delta, u = y[b, c], x[b, c]
            out = fill(0.0)
            for i in range(0, n, LANES):
                rate = exp2(load(A_log, (c, i)) * fill(LOG2_E))
                decay = exp2(rate * fill(-LOG2_E * delta))
                h = decay * load(state, (b, c, i)) + fill(delta * u) * load(B, (b, i))
                store(state, (b, c, i), h)
                out = out + h * load(C, (b, i))
            y[b, c] = total(out) + D[c] * u
        gate = load(z, (b, start))
        store(y, (b, start), load(y, (b, start)) * (gate * sigmoid(gate)))


@lru_cache(maxsize=1)
def compiled() -> SimpleNamespace:
    return SimpleNamespace(conv=build(conv, "22132"), scan=build(scan, "2222221132"))


def moves_on(mixer: Any, hidden_states: Tensor, cache: Any, mask: Tensor | None) -> bool:
    """Whether these are single tokens, none masked, which the kernels can take on from the states in the cache."""
    single = hidden_states.shape[1] == 1 and mask is None and not torch.is_grad_enabled()
    if not single or type(cache) is not DynamicCache:
        return False
    layer: Any = cache.layers[mixer.layer_idx]
    if layer.record_past or not layer.has_previous_state[0]:
        return False
    channels, n = mixer.intermediate_size, mixer.ssm_state_size
    tail, state = layer.conv_states[0], layer.recurrent_states[0]
    if state is None or channels % LANES or n % LANES:
        return False
    rows = len(hidden_states)
    fit = tail.shape == (rows, channels, mixer.conv_kernel_size) and state.shape == (rows, channels, n)
    return fit and state.dtype == torch.float32 and state.is_contiguous()


def convolved(mixer: Any, inputs: Tensor, cache: DynamicCache) -> Tensor:
    """`causal_conv_silu` of one step: [batch, 1, channels] to the same shape. The state in the cache moves on."""
    state = cache.layers[mixer.layer_idx].conv_states[0]
    bias = mixer.conv1d.bias
    bias = torch.zeros(mixer.intermediate_size, dtype=torch.float32) if bias is None else bias
    tail = state.float().contiguous()
    y = torch.empty(len(inputs), mixer.intermediate_size, dtype=torch.float32)
    run(compiled().conv, inputs[:, 0], mixer.conv1d.weight.squeeze(1), bias, tail, y)
    if tail is not state:
        state.copy_(tail)
    return y[:, None].to(inputs.dtype)


def scanned(
    mixer: Any, x: Tensor, dt: Tensor, B: Tensor, C: Tensor, z: Tensor, cache: DynamicCache
) -> Tensor:
    """`selective_scan` of one step: x, dt, z [batch, 1, channels] and B, C [batch, 1, n] to y [batch, 1, channels] in
    float32. The state in the cache moves on."""
    y = torch.empty(len(x), mixer.intermediate_size, dtype=torch.float32)
    tokens = (tensor[:, 0] for tensor in (x, dt, B, C, z))
    state = cache.layers[mixer.layer_idx].recurrent_states[0]
    run(compiled().scan, *tokens, mixer.A_log, mixer.D, mixer.dt_proj.bias, state, y)
    return y[:, None]


def run(kernel: Callable, *tensors: Tensor) -> None:
    tasks = tensors[-1].numel() // LANES
    share(kernel, tasks, workers_for(tasks, tensors[-2].numel()), *arrays(*map(dense, tensors)))
