"""The two compiled modules in torch, with the checks of their C++ (but for the one that tensors are on a GPU):
`csrc/selective_scan/selective_scan.cpp` of mamba-ssm 2.3.2.post1, `csrc/causal_conv1d.cpp` of causal-conv1d 1.7.0.

They compute in float32, as the kernels do, and only what readers use; all else is a RuntimeError, like a failed check.
"""

from __future__ import annotations

import sys
from collections import Counter
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor

CALLS: Counter[str] = Counter()
"""How often each kernel ran, these and Triton's, by its name."""
FLOATS = (torch.float32, torch.float16, torch.bfloat16)
Given = Tensor | None


def install() -> None:
    """Under the names that the packages import."""
    scan, convolution = ModuleType("selective_scan_cuda"), ModuleType("causal_conv1d_cuda")
    scan.__dict__["fwd"] = selective_scan_fwd
    convolution.__dict__.update(
        causal_conv1d_fwd=causal_conv1d_fwd, causal_conv1d_update=causal_conv1d_update
    )
    sys.modules |= {module.__name__: module for module in (scan, convolution)}


def selective_scan_fwd(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Given, z: Given, bias: Given, softplus: bool
) -> list[Tensor]:
    """y, the states (the last one only, the rest is NaN), and with `z` the gated y. u, delta and z are [batch, dim,
    length], A [dim, n], B and C [batch, groups, n, length], D and bias [dim]."""
    CALLS["selective_scan_fwd"] += 1
    n, groups = A.shape[1], B.shape[1]
    batch, dim, length = u.shape
    check(u.dtype in FLOATS and n <= 256, f"u of {u.dtype}, {n} states")
    check(A.dtype == torch.float32 and A.shape == (dim, n), f"A of {A.dtype} {tuple(A.shape)}")
    for tensor in (u, delta, u if z is None else z):
        check_dense(tensor, u.dtype, (batch, dim, length))
    for tensor in (B, C):
        check_dense(tensor, u.dtype, (batch, groups, n, length))
    for weight in (D, bias):
        if weight is not None:
            check_dense(weight, torch.float32, (dim,))
    x, steps = u.float(), delta.float() + (0 if bias is None else bias[:, None])
    steps = F.softplus(steps) if softplus else steps
    b, c = (tensor.float().repeat_interleave(dim // groups, 1) for tensor in (B, C))
    state, y = torch.zeros(batch, dim, n), torch.empty(batch, dim, length)
    for t in range(length):
        step = steps[..., t, None]
        state = torch.exp(step * A) * state + step * x[..., t, None] * b[..., t]
        y[..., t] = (state * c[..., t]).sum(-1)
    y += 0 if D is None else D[:, None] * x
    states = torch.full((batch, dim, -(-length // 2048), 2 * n), torch.nan)
    states[:, :, -1, 1::2] = state
    out = torch.empty_like(delta).copy_(y)
    return [out, states] if z is None else [out, states, torch.empty_like(z).copy_(y * F.silu(z.float()))]


def causal_conv1d_fwd(
    x: Tensor, weight: Tensor, bias: Given, packed: None, first: None, out: Tensor, final: None, silu: bool
) -> None:
    """x and out [batch, dim, length], weight [dim, width]."""
    CALLS["causal_conv1d_fwd"] += 1
    check(packed is first is final is None, "packed sequence, first or final state")
    check(1 in x.stride()[1:], f"x with strides {x.stride()}")
    if x.stride(1) == 1 and x.stride(2) > 1:  # channels last
        in_eights = x.shape[1] % 8 == x.stride(2) % 8 == x.stride(0) % 8 == 0
        check(in_eights, f"x {tuple(x.shape)} with channels last and strides {x.stride()}")
    _convolve(F.pad(x, (weight.shape[-1] - 1, 0)), x, weight, bias, out, silu)


def causal_conv1d_update(
    x: Tensor, state: Tensor, weight: Tensor, bias: Given, out: Tensor, silu: bool, ring: None, indices: None
) -> None:
    """The same after what `state` [batch, dim, width - 1 or more] holds, which moves on."""
    CALLS["causal_conv1d_update"] += 1
    held = state.shape[-1]
    check(ring is indices is None, "ring of states")
    check(state.dtype == x.dtype and state.shape[:2] == x.shape[:2], f"state of {state.dtype}")
    check(held >= weight.shape[-1] - 1, f"state of {held} positions")
    seen = torch.cat([state, x], -1)
    state.copy_(seen[..., -held:])
    _convolve(seen[..., held - weight.shape[-1] + 1 :], x, weight, bias, out, silu)


def _convolve(seen: Tensor, x: Tensor, weight: Tensor, bias: Given, out: Tensor, silu: bool) -> None:
    check(x.dtype in FLOATS and weight.dtype in FLOATS, f"x of {x.dtype}, weight of {weight.dtype}")
    check(2 <= weight.shape[1] <= 4 and weight.shape[0] == x.shape[1], f"weight {tuple(weight.shape)}")
    if bias is not None:
        check_dense(bias, weight.dtype, (x.shape[1],))
        bias = bias.float()
    y = F.conv1d(seen.float(), weight.float()[:, None], bias, groups=x.shape[1])
    out.copy_(F.silu(y) if silu else y)


def check_dense(tensor: Tensor, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    """RuntimeError unless the tensor has that type and shape, and its last axis lies in one piece."""
    whole = tensor.stride(-1) == 1 or tensor.shape[-1] == 1
    got = f"{tensor.dtype} {tuple(tensor.shape)} with strides {tensor.stride()}"
    check(whole and tensor.dtype == dtype and tensor.shape == shape, f"{got} for {dtype} {shape}")


def check(holds: bool, given: str) -> None:
    if not holds:
        raise RuntimeError(f"the compiled module takes no {given}")
