"""The numba kernels behind `models/selective_scan.py`, which says what they compute and how to run them.

A task is a sequence of the batch and a block of sixteen channels (for the convolution, one step forwards and
one sequence backwards). Arrays are float32 with a dense last axis. Compiled on the first call, for any strides.
"""

from __future__ import annotations

from functools import lru_cache
from types import SimpleNamespace

from numba.core import types

from models.compiling import SHARE, build
from models.vector_math import LANES, LN_2, exp2, fill, load, sigmoid, softplus, store, total


def scan(worker, first, last, chunk, gated, x, dt, B, C, z, rates, D, bias, h, marks, y):
    """h [batch, blocks, n, 16] goes in as the first and out as the last state; marks [batch, chunks, ..]
    keeps it at every chunk's start if it has any; rates is A log2(e), [blocks, n, 16]."""
    length, blocks, n = x.shape[1], rates.shape[0], rates.shape[1]
    keep = marks.shape[1] > 0
    for b in range(first // blocks, (last + blocks - 1) // blocks):
        for start in range(0, length, chunk):
            for block in range(max(first - b * blocks, 0), min(last - b * blocks, blocks)):
                c = block * LANES
                if keep:
                    for i in range(n):
                        store(marks, (b, start // chunk, block, i, 0), load(h, (b, block, i, 0)))
                skip, shift = load(D, (c,)), load(bias, (c,))
                for t in range(start, min(start + chunk, length)):
                    u = load(x, (b, t, c))
                    delta = softplus(load(dt, (b, t, c)) + shift)
                    entry = delta * u
                    out = skip * u
                    for i in range(n):
                        decay = exp2(delta * load(rates, (block, i, 0)))
                        value = decay * load(h, (b, block, i, 0)) + entry * fill(B[b, t, i])
                        store(h, (b, block, i, 0), value)
                        out = out + value * fill(C[b, t, i])
                    if gated:
                        gate = load(z, (b, t, c))
                        out = out * (gate * sigmoid(gate))
                    store(y, (b, t, c), out)


def scan_backward(
    worker, first, last, chunk, gated, x, dt, B, C, z, rates, D, bias, dy, marks,
    dx, ddt, dz, dB, dC, dA, dD, dbias, dh, scratch, sums,
):  # fmt: skip
    """dh [batch, blocks, n, 16] goes in as the last state's and out as the first state's gradient; dB, dC,
    dA, dD and dbias have a leading axis of workers, zeroed; scratch and sums are each worker's working
    memory."""
    length, blocks, n = x.shape[1], rates.shape[0], rates.shape[1]
    states = scratch[worker, : (chunk + 1) * n]
    decays = scratch[worker, (chunk + 1) * n : (2 * chunk + 1) * n]
    rows = scratch[worker, (2 * chunk + 1) * n :]
    deltas, slopes = rows[:chunk], rows[chunk : 2 * chunk]
    B_sums, C_sums = sums[worker, 0], sums[worker, 1]
    one, zero = fill(1.0), fill(0.0)
    for b in range(first // blocks, (last + blocks - 1) // blocks):
        low, high = max(first - b * blocks, 0), min(last - b * blocks, blocks)
        for start in range((length - 1) // chunk * chunk, -1, -chunk):
            steps = min(chunk, length - start)
            for i in range(steps * n):
                store(B_sums, (i, 0), zero)
                store(C_sums, (i, 0), zero)
            for block in range(low, high):
                c = block * LANES
                skip, shift = load(D, (c,)), load(bias, (c,))
                skip_sum, shift_sum = load(dD, (worker, c)), load(dbias, (worker, c))
                for i in range(n):
                    store(states, (i, 0), load(marks, (b, start // chunk, block, i, 0)))
                for k in range(steps):
                    t = start + k
                    u = load(x, (b, t, c))
                    delta = softplus(load(dt, (b, t, c)) + shift)
                    store(deltas, (k, 0), delta)
                    entry = delta * u
                    out = skip * u
                    for i in range(n):
                        decay = exp2(delta * load(rates, (block, i, 0)))
                        value = decay * load(states, (k * n + i, 0)) + entry * fill(B[b, t, i])
                        store(decays, (k * n + i, 0), decay)
                        store(states, ((k + 1) * n + i, 0), value)
                        out = out + value * fill(C[b, t, i])
                    slope = load(dy, (b, t, c))
                    if gated:
                        gate = load(z, (b, t, c))
                        opening = sigmoid(gate)
                        store(dz, (b, t, c), slope * out * opening * (one + gate * (one - opening)))
                        slope = slope * gate * opening
                    store(slopes, (k, 0), slope)
                    skip_sum = skip_sum + slope * u
                for k in range(steps - 1, -1, -1):
                    t = start + k
                    u, delta, slope = load(x, (b, t, c)), load(deltas, (k, 0)), load(slopes, (k, 0))
                    entry = delta * u
                    entry_slope, decay_slope = zero, zero
                    for i in range(n):
                        g = load(dh, (b, block, i, 0)) + slope * fill(C[b, t, i])
                        C_sum = load(C_sums, (k * n + i, 0)) + slope * load(states, ((k + 1) * n + i, 0))
                        store(C_sums, (k * n + i, 0), C_sum)
                        store(B_sums, (k * n + i, 0), load(B_sums, (k * n + i, 0)) + g * entry)
                        entry_slope = entry_slope + g * fill(B[b, t, i])
                        g = g * load(decays, (k * n + i, 0))
                        store(dh, (b, block, i, 0), g)
                        bend = g * load(states, (k * n + i, 0))
                        decay_slope = decay_slope + bend * load(rates, (block, i, 0))
                        store(dA, (worker, block, i, 0), load(dA, (worker, block, i, 0)) + bend * delta)
                    store(dx, (b, t, c), slope * skip + delta * entry_slope)
                    bent = (decay_slope * fill(LN_2) + u * entry_slope) * sigmoid(load(dt, (b, t, c)) + shift)
                    store(ddt, (b, t, c), bent)
                    shift_sum = shift_sum + bent
                store(dD, (worker, c), skip_sum)
                store(dbias, (worker, c), shift_sum)
            for k in range(steps):
                for i in range(n):
                    dB[worker, b, start + k, i] = total(load(B_sums, (k * n + i, 0)))
                    dC[worker, b, start + k, i] = total(load(C_sums, (k * n + i, 0)))


def conv(worker, first, last, x, weight, bias, state, y):
    """weight [width, channels]; state [batch, width - 1, channels], the inputs before x."""
    length, channels, reach = x.shape[1], x.shape[2], weight.shape[0] - 1
    for task in range(first, last):
        b, t = task // length, task % length
        for c in range(0, channels, LANES):
            out = load(bias, (c,))
            for j in range(reach + 1):
                s = t + j - reach
                row = load(x, (b, s, c)) if s >= 0 else load(state, (b, s + reach, c))
                out = out + load(weight, (j, c)) * row
            store(y, (b, t, c), out * sigmoid(out))


def conv_backward(worker, first, last, x, weight, bias, state, dy, dx, dweight, dbias, dstate, slopes):
    """slopes [workers, length + width - 1, channels] is the gradient before the SiLU, then zeros."""
    length, channels, reach = x.shape[1], x.shape[2], weight.shape[0] - 1
    one, zero = fill(1.0), fill(0.0)
    for b in range(first, last):
        for t in range(length):
            for c in range(0, channels, LANES):
                out = load(bias, (c,))
                for j in range(reach + 1):
                    s = t + j - reach
                    row = load(x, (b, s, c)) if s >= 0 else load(state, (b, s + reach, c))
                    out = out + load(weight, (j, c)) * row
                opening = sigmoid(out)
                slope = load(dy, (b, t, c)) * opening * (one + out * (one - opening))
                store(slopes, (worker, t, c), slope)
                store(dbias, (worker, c), load(dbias, (worker, c)) + slope)
                for j in range(reach + 1):
                    s = t + j - reach
                    row = load(x, (b, s, c)) if s >= 0 else load(state, (b, s + reach, c))
                    store(dweight, (worker, j, c), load(dweight, (worker, j, c)) + slope * row)
        for t in range(length, length + reach):
            for c in range(0, channels, LANES):
                store(slopes, (worker, t, c), zero)
        for s in range(-reach, length):
            for c in range(0, channels, LANES):
                out = zero
                for j in range(reach + 1):
                    t = s + reach - j
                    if t >= 0:
                        out = out + load(weight, (j, c)) * load(slopes, (worker, t, c))
                if s >= 0:
                    store(dx, (b, s, c), out)
                else:
                    store(dstate, (b, s + reach, c), out)


@lru_cache(maxsize=1)
def compiled() -> SimpleNamespace:
    """The kernels as they are called, through `models/threads.py`."""
    return SimpleNamespace(
        scan=build(scan, "33333311453", (*SHARE, types.intp, types.boolean)),
        scan_backward=build(scan_backward, "333333113533344422434", (*SHARE, types.intp, types.boolean)),
        conv=build(conv, "32133"),
        conv_backward=build(conv_backward, "3213333233"),
    )
