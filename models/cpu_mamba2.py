"""The scan of Mamba-2 on a CPU, for Mamba-2, Bamba, Falcon-H1, GraniteMoeHybrid, Nemotron-H and Zamba2.

For each head, with a scalar A and B, C shared by the heads of a group (Dao and Gu 2024, equation 16 and section 7):

    delta_t = clamp(softplus(dt_t + dt_bias))      h_t = exp(delta_t A) h_{t-1} + delta_t x_t B_t^T
    y_t = h_t C_t + D x_t

transformers computes it in chunks, as matrices of chunk x chunk a head, which on a CPU costs several times the
recurrence itself. `attach` gives every mixer of a loaded model a forward that is transformers' own but for this
scan; training, other devices and shapes that the kernel does not cover still get theirs.

    python -m pytest tests/models/test_cpu_mamba2.py
"""

from __future__ import annotations

import inspect
from functools import lru_cache
from types import FunctionType, MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.compiling import build
from models.lane_layout import arrays, channel_rows, dense, lane_blocks
from models.threads import share, workers_for
from models.vector_math import LANES, LOG2_E, decay2, fill, load, store

SCAN = "mamba2_chunk_scan"  # as all six families call it
STEPS = 32  # between two visits to memory: 6 KiB of decays, inputs and outputs


def attach(model: nn.Module) -> int:
    """Give every Mamba-2 mixer of a model on the CPU this file's scan; returns how many."""
    count = 0
    for module in model.modules():
        forward: Any = inspect.unwrap(type(module).forward)
        if SCAN not in getattr(getattr(forward, "__code__", None), "co_names", ()):
            continue
        if any(weight.device.type != "cpu" for weight in module.parameters()):
            continue
        module.forward = MethodType(rebound(forward, SCAN, with_fallback(forward.__globals__[SCAN])), module)
        count += 1
    return count


def rebound(function: Any, name: str, value: Any) -> FunctionType:
    """The same code, which finds `value` where it looks for its global `name`."""
    scope = {**function.__globals__, name: value}
    own = FunctionType(
        function.__code__, scope, function.__name__, function.__defaults__, function.__closure__
    )
    own.__kwdefaults__ = function.__kwdefaults__
    return own


def with_fallback(theirs: Any) -> Any:
    """`chunk_scan` where it applies, on the CPU, and `theirs` elsewhere."""

    def scan(hidden_states: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, **options: Any) -> Any:
        fits = hidden_states.shape[-1] % LANES == 0 and B.shape[-1] % 4 == 0
        fits &= hidden_states.device.type == "cpu"
        if torch.is_grad_enabled() or not fits or options.get("D") is None or options["D"].dim() != 1:
            return theirs(hidden_states, dt, A, B, C, **options)
        if options.get("dt_bias") is not None:
            dt = dt + options["dt_bias"].to(dt.dtype)
        if options.get("dt_softplus"):
            dt = F.softplus(dt)
        dt = dt.clamp(*options.get("dt_limit", (0.0, float("inf"))))
        y, last = chunk_scan(hidden_states, dt, A, B, C, options["D"], options.get("initial_states"))
        return (y, last) if options.get("return_final_states") else y

    return scan


def chunk_scan(
    x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """x: [batch, length, heads, width], width a multiple of 16; delta: [batch, length, heads]; A (negative), D:
    [heads]; B, C: [batch, length, groups, n], n a multiple of 4; state: [batch, heads, width, n], zeros when absent.
    Returns y like x and the last state, both float32 as transformers has them. Not differentiable."""
    batch, length, heads, width = x.shape
    n, blocks = B.shape[-1], width // LANES
    h = torch.zeros(batch, heads, blocks, n, LANES) if state is None else lane_blocks(state.float())
    y = torch.empty(batch, length, heads, width)
    tasks = batch * heads * blocks
    workers = workers_for(tasks, y.numel() * n)
    scratch = torch.empty(workers, 3, STEPS, LANES)
    inputs = [dense(v) for v in (x, delta, A * LOG2_E, B, C, D)]
    share(compiled(), tasks, workers, *arrays(*inputs, h, scratch, y))
    return y, channel_rows(h)


def scan(worker, first, last, x, dt, rates, B, C, D, h, scratch, y):
    """Tasks are sequences x heads x blocks of sixteen of a head's channels; h [batch, heads, blocks, n, 16] goes in
    as the first and out as the last state. Four states at a time go through STEPS steps in registers."""
    length, heads, groups, n, blocks = x.shape[1], x.shape[2], B.shape[2], B.shape[3], h.shape[2]
    decays, entries, outs = scratch[worker, 0], scratch[worker, 1], scratch[worker, 2]
    for task in range(first, last):
        s, head, block = task // (heads * blocks), task // blocks % heads, task % blocks
        c, g = block * LANES, head // (heads // groups)
        for start in range(0, length, STEPS):
            count = min(STEPS, length - start)
            for k in range(count):
                u, delta = load(x, (s, start + k, head, c)), fill(dt[s, start + k, head])
                store(decays, (k, 0), decay2(delta * fill(rates[head])))
                store(entries, (k, 0), delta * u)
                store(outs, (k, 0), fill(D[head]) * u)
            for i in range(0, n, 4):
                h0, h1 = load(h, (s, head, block, i, 0)), load(h, (s, head, block, i + 1, 0))
                h2, h3 = load(h, (s, head, block, i + 2, 0)), load(h, (s, head, block, i + 3, 0))
                for k in range(count):
                    t = start + k
                    decay, entry = load(decays, (k, 0)), load(entries, (k, 0))
                    h0 = decay * h0 + entry * fill(B[s, t, g, i])
                    h1 = decay * h1 + entry * fill(B[s, t, g, i + 1])
                    h2 = decay * h2 + entry * fill(B[s, t, g, i + 2])
                    h3 = decay * h3 + entry * fill(B[s, t, g, i + 3])
                    out = load(outs, (k, 0)) + h0 * fill(C[s, t, g, i]) + h1 * fill(C[s, t, g, i + 1])
                    out = out + h2 * fill(C[s, t, g, i + 2]) + h3 * fill(C[s, t, g, i + 3])
                    store(outs, (k, 0), out)
                store(h, (s, head, block, i, 0), h0)
                store(h, (s, head, block, i + 1, 0), h1)
                store(h, (s, head, block, i + 2, 0), h2)
                store(h, (s, head, block, i + 3, 0), h3)
            for k in range(count):
                store(y, (s, start + k, head, c), load(outs, (k, 0)))


@lru_cache(maxsize=1)
def compiled() -> Any:
    return build(scan, "431441544")
