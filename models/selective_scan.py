"""The selective scan of Mamba-1 and Falcon-Mamba on a CPU, and the convolution before it, with gradients.

For each channel and state n (Gu and Dao 2023, algorithm 2; B discretized as delta B like in the released
code):

    delta_t = softplus(dt_t + dt_bias)      h_t[n] = exp(delta_t A[n]) h_{t-1}[n] + delta_t B_t[n] x_t
    y_t = (sum_n C_t[n] h_t[n] + D x_t) silu(z_t)

Tensors are channel-last. Time runs in chunks of 16 steps and, within a chunk, sixteen channels at a time,
so that the state and decay of a block stay in the first-level cache. The backward pass keeps the state at
the chunks' borders and recomputes the rest; nothing of the size length x channels x state exists. The loops
themselves are in `models/scan_kernels.py`.

    python -m models.scan_speed             microseconds a token and layer, beside transformers' own fallback
    python -m pytest tests/models/test_selective_scan.py
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.lane_layout import arrays, channel_rows, dense, lane_blocks
from models.scan_kernels import compiled
from models.threads import share, workers_for
from models.vector_math import LANES, LOG2_E

# Steps between two kept states: sixteen states of sixteen channels, with their decays, are 32 KiB.
CHUNK = 16


def selective_scan(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    z: Tensor | None,
    dt_bias: Tensor,
    state: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Scan a sequence, optionally going on from a state.

    x, dt, z: [batch, length, channels] (z None: no gate); A: [channels, n]; B, C: [batch, length, n]; D,
    dt_bias: [channels]; state: [batch, channels, n], zeros when absent. Strided views are read in place as
    long as their last axis is dense. Everything is computed in float32. Returns y [batch, length, channels]
    in x's dtype and the last state, float32 [batch, channels, n]. Differentiable in every argument, once.
    Raises ValueError where the shapes do not fit: the kernels check no bounds.
    """
    batch, length, channels = x.shape
    n = A.shape[-1]
    expect("dt", dt, (batch, length, channels))
    expect("A", A, (channels, n))
    expect("B", B, (batch, length, n))
    expect("C", C, (batch, length, n))
    expect("D", D, (channels,))
    expect("z", z, (batch, length, channels))
    expect("dt_bias", dt_bias, (channels,))
    expect("state", state, (batch, channels, n))
    if state is None:
        state = torch.zeros(batch, channels, n)
    dtype, spare = x.dtype, -channels % LANES
    if spare:
        x, dt, D, dt_bias = (F.pad(v, (0, spare)) for v in (x, dt, D, dt_bias))
        A, state = F.pad(A, (0, 0, 0, spare)), F.pad(state, (0, 0, 0, spare))
        z = None if z is None else F.pad(z, (0, spare))
    inputs = [None if v is None else dense(v) for v in (x, dt, A, B, C, D, z, dt_bias, state)]
    y, last = Scan.apply(torch.is_grad_enabled(), *inputs)
    if spare:
        y, last = y[..., :channels], last[:, :channels]
    return y.to(dtype), last


def causal_conv_silu(
    x: Tensor, weight: Tensor, bias: Tensor | None, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Causal depthwise convolution followed by SiLU.

    x: [batch, length, channels]; weight: [channels, width]; bias: [channels] or None; state: the width - 1
    inputs before x, [batch, width - 1, channels], zeros when absent. Computed in float32. Returns y like x,
    and the state after x (a view of x where x is long enough). Differentiable in every argument, once.
    Raises ValueError where the shapes do not fit: the kernels check no bounds.
    """
    batch, length, channels = x.shape
    reach = weight.shape[-1] - 1
    expect("weight", weight, (channels, reach + 1))
    expect("bias", bias, (channels,))
    expect("state", state, (batch, reach, channels))
    if state is None:
        state = x.new_zeros(batch, reach, channels)
    last = x[:, length - reach :] if length >= reach else torch.cat([state[:, length:].to(x.dtype), x], dim=1)
    if bias is None:
        bias = weight.new_zeros(channels)
    inputs, spare = (x, weight.transpose(0, 1), bias, state), -channels % LANES
    y = Convolution.apply(*(dense(F.pad(v, (0, spare)) if spare else v) for v in inputs))
    return (y[..., :channels] if spare else y).to(x.dtype), last


def expect(name: str, tensor: Tensor | None, shape: tuple[int, ...]) -> None:
    if tensor is not None and tensor.shape != shape:
        raise ValueError(f"{name} has shape {list(tensor.shape)}, the other arguments ask for {list(shape)}")


class Scan(torch.autograd.Function):
    """`selective_scan` on float32 tensors whose channels are a multiple of sixteen."""

    @staticmethod
    def forward(ctx, grad_enabled, x, dt, A, B, C, D, z, dt_bias, state):
        batch, length, channels = x.shape
        blocks, n = channels // LANES, A.shape[1]
        # Whether inputs need gradients does not tell whether anyone records: parameters always do.
        keep = grad_enabled and any(ctx.needs_input_grad)
        rates, h = lane_blocks(A * LOG2_E), lane_blocks(state)
        y = torch.empty(batch, length, channels)
        marks = torch.empty(batch, -(-length // CHUNK) if keep else 0, blocks, n, LANES)
        tasks = batch * blocks
        share(
            compiled().scan, tasks, workers_for(tasks, y.numel() * n), CHUNK, z is not None,
            *arrays(x, dt, B, C, x if z is None else z, rates, D, dt_bias, h, marks, y),
        )  # fmt: skip
        if keep:
            ctx.save_for_backward(x, dt, rates, B, C, D, z, dt_bias, marks)
        return y, channel_rows(h)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy, dlast):  # pyright: ignore[reportIncompatibleMethodOverride]
        x, dt, rates, B, C, D, z, dt_bias, marks = ctx.saved_tensors
        batch, length, channels = x.shape
        blocks, n = rates.shape[:2]
        gated = z is not None
        tasks = batch * blocks
        workers = workers_for(tasks, x.numel() * n)
        dx, ddt = torch.empty(batch, length, channels), torch.empty(batch, length, channels)
        dz = torch.empty(batch, length, channels) if gated else dx
        # Channels add up in dB and dC, sequences in dA, dD and dbias: every worker has its own.
        dB, dC = torch.zeros(workers, batch, length, n), torch.zeros(workers, batch, length, n)
        dA = torch.zeros(workers, blocks, n, LANES)
        dD, dbias = torch.zeros(workers, channels), torch.zeros(workers, channels)
        dh = lane_blocks(dlast)
        scratch = torch.empty(workers, (2 * CHUNK + 1) * n + 2 * CHUNK, LANES)
        sums = torch.empty(workers, 2, CHUNK * n, LANES)
        share(
            compiled().scan_backward, tasks, workers, CHUNK, gated,
            *arrays(x, dt, B, C, z if gated else x, rates, D, dt_bias, dense(dy), marks),
            *arrays(dx, ddt, dz, dB, dC, dA, dD, dbias, dh, scratch, sums),
        )  # fmt: skip
        return (
            None, dx, ddt, channel_rows(dA.sum(0)), dB.sum(0), dC.sum(0), dD.sum(0), dz if gated else None,
            dbias.sum(0), channel_rows(dh),
        )  # fmt: skip


class Convolution(torch.autograd.Function):
    """`causal_conv_silu` on float32 tensors, channels a multiple of sixteen; weight is [width, channels]."""

    @staticmethod
    def forward(ctx, x, weight, bias, state):
        y = torch.empty(x.shape)
        tasks = x.shape[0] * x.shape[1]
        share(compiled().conv, tasks, workers_for(tasks, x.numel()), *arrays(x, weight, bias, state, y))
        ctx.save_for_backward(x, weight, bias, state)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight, bias, state = ctx.saved_tensors
        batch, length, channels = x.shape
        workers = workers_for(batch, x.numel())
        dx, dstate = torch.empty(x.shape), torch.empty(state.shape)
        dweight, dbias = torch.zeros(workers, *weight.shape), torch.zeros(workers, channels)
        slopes = torch.empty(workers, length + len(weight) - 1, channels)
        share(
            compiled().conv_backward, batch, workers,
            *arrays(x, weight, bias, state, dense(dy), dx, dweight, dbias, dstate, slopes),
        )  # fmt: skip
        return dx, dweight.sum(0), dbias.sum(0), dstate
