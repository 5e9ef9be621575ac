"""The numba kernels between the matrix products of `models/mamba_prefill.py`: norm, convolution, scan.

Each reads and writes one tile, a few hundred tokens whose buffers stay in the second-level cache, in the layout
that the matrix products leave: [tokens, channels], `steps` tokens a sequence, sequences one after the other.
Arrays are float32 and contiguous. A kernel handles its worker's share of the tasks, as those of
`models/scan_kernels.py` do, and is exercised by ``pytest tests/models/test_mamba_prefill.py``.
"""

from __future__ import annotations

import math
from functools import lru_cache
from types import SimpleNamespace

from numba.core import types

from models.scan_kernels import build
from models.vector_math import LANES, decay2, fill, load, sigmoid, softplus, store, total

WIDTH = 4  # of the convolution: that of every published Mamba
STEPS = 32  # of the scan between two visits to memory: 6 KiB of time steps, inputs and outputs


def norm(worker, first, last, epsilon, x, weight, y):
    """Root mean square norm of the tokens `first` to `last`; x, y [tokens, hidden]."""
    hidden = x.shape[1]
    whole = hidden - hidden % LANES
    for r in range(first, last):
        sums = fill(0.0)
        for c in range(0, whole, LANES):
            values = load(x, (r, c))
            sums = sums + values * values
        square = total(sums)
        for c in range(whole, hidden):
            square += x[r, c] * x[r, c]
        scale = 1.0 / math.sqrt(square / hidden + epsilon)
        scales = fill(scale)
        for c in range(0, whole, LANES):
            store(y, (r, c), load(x, (r, c)) * scales * load(weight, (c,)))
        for c in range(whole, hidden):
            y[r, c] = x[r, c] * scale * weight[c]


def conv(worker, first, last, steps, xz, weight, bias, tail, x):
    """Tasks are blocks of channels. xz [tokens, channels or more]; weight [WIDTH, channels]; tail [sequences,
    WIDTH - 1, channels] goes in as the inputs before the tile and out as its last; x [tokens, channels]."""
    for s in range(tail.shape[0]):
        for block in range(first, last):
            c = block * LANES
            w0, w1, w2, w3 = (
                load(weight, (0, c)),
                load(weight, (1, c)),
                load(weight, (2, c)),
                load(weight, (3, c)),
            )
            shift = load(bias, (c,))
            x0, x1, x2 = load(tail, (s, 0, c)), load(tail, (s, 1, c)), load(tail, (s, 2, c))
            for r in range(s * steps, (s + 1) * steps):
                x3 = load(xz, (r, c))
                out = shift + w0 * x0 + w1 * x1 + w2 * x2 + w3 * x3
                store(x, (r, c), out * sigmoid(out))
                x0, x1, x2 = x1, x2, x3
            store(tail, (s, 0, c), x0)
            store(tail, (s, 1, c), x1)
            store(tail, (s, 2, c), x2)


def scan(worker, first, last, steps, gated, x, dt, dbc, xz, rates, D, bias, h, scratch, y):
    """Tasks are blocks of channels. x, dt, y [tokens, channels] (y may be x); dbc [tokens, rank + 2 n] ends with
    B and C; xz [tokens, 2 channels] ends with z, if `gated`; rates is A log2(e), [blocks, n, 16], n a multiple of
    4; h [sequences, blocks, n, 16] goes in as the first and out as the last state; scratch [workers, 3, STEPS, 16].

    Four states at a time go through STEPS steps in registers."""
    channels, n = x.shape[1], rates.shape[1]
    B, C = dbc.shape[1] - 2 * n, dbc.shape[1] - n
    deltas, entries, outs = scratch[worker, 0], scratch[worker, 1], scratch[worker, 2]
    for s in range(h.shape[0]):
        for start in range(s * steps, (s + 1) * steps, STEPS):
            count = min(STEPS, (s + 1) * steps - start)
            for block in range(first, last):
                c = block * LANES
                skip, shift = load(D, (c,)), load(bias, (c,))
                for k in range(count):
                    u = load(x, (start + k, c))
                    delta = softplus(load(dt, (start + k, c)) + shift)
                    store(deltas, (k, 0), delta)
                    store(entries, (k, 0), delta * u)
                    store(outs, (k, 0), skip * u)
                for i in range(0, n, 4):
                    h0, h1 = load(h, (s, block, i, 0)), load(h, (s, block, i + 1, 0))
                    h2, h3 = load(h, (s, block, i + 2, 0)), load(h, (s, block, i + 3, 0))
                    rate0, rate1 = load(rates, (block, i, 0)), load(rates, (block, i + 1, 0))
                    rate2, rate3 = load(rates, (block, i + 2, 0)), load(rates, (block, i + 3, 0))
                    for k in range(count):
                        r = start + k
                        delta, entry = load(deltas, (k, 0)), load(entries, (k, 0))
                        h0 = decay2(delta * rate0) * h0 + entry * fill(dbc[r, B + i])
                        h1 = decay2(delta * rate1) * h1 + entry * fill(dbc[r, B + i + 1])
                        h2 = decay2(delta * rate2) * h2 + entry * fill(dbc[r, B + i + 2])
                        h3 = decay2(delta * rate3) * h3 + entry * fill(dbc[r, B + i + 3])
                        out = load(outs, (k, 0)) + h0 * fill(dbc[r, C + i]) + h1 * fill(dbc[r, C + i + 1])
                        out = out + h2 * fill(dbc[r, C + i + 2]) + h3 * fill(dbc[r, C + i + 3])
                        store(outs, (k, 0), out)
                    store(h, (s, block, i, 0), h0)
                    store(h, (s, block, i + 1, 0), h1)
                    store(h, (s, block, i + 2, 0), h2)
                    store(h, (s, block, i + 3, 0), h3)
                if gated:
                    for k in range(count):
                        gate = load(xz, (start + k, channels + c))
                        store(y, (start + k, c), load(outs, (k, 0)) * (gate * sigmoid(gate)))
                else:
                    for k in range(count):
                        store(y, (start + k, c), load(outs, (k, 0)))


@lru_cache(maxsize=1)
def compiled() -> SimpleNamespace:
    return SimpleNamespace(
        norm=build(norm, "212", (types.float32,), layout="C"),
        conv=build(conv, "22132", (types.intp,), layout="C"),
        scan=build(scan, "2222311442", (types.intp, types.boolean), layout="C"),
    )
