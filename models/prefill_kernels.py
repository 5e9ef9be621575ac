"""The numba kernel behind `models/mamba_prefill.py`: a tile of tokens through one layer of a Mamba, in one call.

Norm, projections, convolution and scan follow each other on a few hundred tokens, whose buffers stay in the
second-level cache, in the layout that the products leave: [tokens, channels], `steps` tokens a sequence, sequences
one after the other. Arrays are float32 and contiguous; the buffers have room for `tile_product.SPARE` tokens more, and
for rows up to the next multiple of sixteen. The kernel runs outside the interpreter's lock on one thread, and is
exercised by ``pytest tests/models/test_mamba_prefill.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from numba import njit
from numba.core import types

from models import amx_product, bfloat_words, tile_product, vector_math
from models.amx_product import AMX
from models.bfloat_words import operand
from models.compiling import build
from models.tile_product import PANEL, SPARE, product
from models.vector_math import LANES, decay2, fill, load, sigmoid, softplus, store, total

WIDTH = 4  # of the convolution: that of every published Mamba
STEPS = 32  # of the scan between two visits to memory: 6 KiB of time steps, inputs and outputs


@njit(error_model="numpy")
def norm(tokens, epsilon, x, weight, y):
    """Root mean square norm; x, y [tokens, hidden or more]."""
    hidden = weight.shape[0]
    whole = hidden - hidden % LANES
    for r in range(tokens):
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


@njit(error_model="numpy")
def norm_parts(tokens, epsilon, rank, n, mixed):
    """Falcon-Mamba's norms without weights, of the low-rank time step, of B and of C."""
    for r in range(tokens):
        for start, end in ((0, rank), (rank, rank + n), (rank + n, rank + 2 * n)):
            square = 0.0
            for c in range(start, end):
                square += mixed[r, c] * mixed[r, c]
            scale = 1.0 / math.sqrt(square / (end - start) + epsilon)
            for c in range(start, end):
                mixed[r, c] *= scale


@njit(error_model="numpy")
def conv(first, last, steps, inputs, channel_weights, tails, x):
    """inputs, x [tokens, channels]; rows 0 to 4 of `channel_weights` are the weight and the bias; tails [batch,
    WIDTH, channels] goes in as the inputs of the sequences `first` to `last` before the tile and out as their
    last."""
    for s in range(first, last):
        start = (s - first) * steps
        for c in range(0, x.shape[1], LANES):
            w0, w1 = load(channel_weights, (0, c)), load(channel_weights, (1, c))
            w2, w3 = load(channel_weights, (2, c)), load(channel_weights, (3, c))
            shift = load(channel_weights, (4, c))
            x0, x1 = load(tails, (s, 0, c)), load(tails, (s, 1, c))
            x2, x3 = load(tails, (s, 2, c)), load(tails, (s, 3, c))
            for r in range(start, start + steps):
                x0, x1, x2, x3 = x1, x2, x3, load(inputs, (r, c))
                out = shift + w0 * x0 + w1 * x1 + w2 * x2 + w3 * x3
                store(x, (r, c), out * sigmoid(out))
            store(tails, (s, 0, c), x0)
            store(tails, (s, 1, c), x1)
            store(tails, (s, 2, c), x2)
            store(tails, (s, 3, c), x3)


@njit(error_model="numpy")
def scan(first, last, steps, x, dt, mixed, C, rates, channel_weights, h, scratch):
    """x [tokens, channels] goes in as the inputs and out as the outputs; dt like x; mixed [tokens, ..] has C from
    column `C` on and B before it; rates is A log2(e), [blocks, n, 16], n a multiple of 4; the last rows of
    `channel_weights` are the bias of dt and D; h [batch, blocks, n, 16] goes in as the first and out as the last
    state of the sequences `first` to `last`; scratch [3 STEPS, 16].

    Four states at a time go through STEPS steps in registers."""
    n = rates.shape[1]
    B, deltas, entries, outs = C - n, scratch[:STEPS], scratch[STEPS : 2 * STEPS], scratch[2 * STEPS :]
    for s in range(first, last):
        end = (s - first + 1) * steps
        for start in range(end - steps, end, STEPS):
            count = min(STEPS, end - start)
            for block in range(rates.shape[0]):
                c = block * LANES
                shift, skip = load(channel_weights, (5, c)), load(channel_weights, (6, c))
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
                        h0 = decay2(delta * rate0) * h0 + entry * fill(mixed[r, B + i])
                        h1 = decay2(delta * rate1) * h1 + entry * fill(mixed[r, B + i + 1])
                        h2 = decay2(delta * rate2) * h2 + entry * fill(mixed[r, B + i + 2])
                        h3 = decay2(delta * rate3) * h3 + entry * fill(mixed[r, B + i + 3])
                        out = load(outs, (k, 0)) + h0 * fill(mixed[r, C + i]) + h1 * fill(mixed[r, C + i + 1])
                        out = out + h2 * fill(mixed[r, C + i + 2]) + h3 * fill(mixed[r, C + i + 3])
                        store(outs, (k, 0), out)
                    store(h, (s, block, i, 0), h0)
                    store(h, (s, block, i + 1, 0), h1)
                    store(h, (s, block, i + 2, 0), h2)
                    store(h, (s, block, i + 3, 0), h3)
                for k in range(count):
                    store(x, (start + k, c), load(outs, (k, 0)))


@njit(error_model="numpy")
def gate(tokens, z, x):
    """x silu(z) into x; x, z [tokens, channels]."""
    for r in range(tokens):
        for c in range(0, x.shape[1], LANES):
            value = load(z, (r, c))
            store(x, (r, c), load(x, (r, c)) * (value * sigmoid(value)))


@njit(error_model="numpy")
def copy_last(sequences, steps, wanted, source, target):
    """The `wanted` last of every `steps` rows to the front of `target`, one sequence after the other."""
    for s in range(sequences):
        for k in range(wanted):
            for c in range(source.shape[1]):
                target[s * wanted + k, c] = source[(s + 1) * steps - wanted + k, c]


@njit(error_model="numpy")
def add_last(sequences, steps, wanted, source, target):
    """The counterpart of `copy_last`, added to what is there."""
    for s in range(sequences):
        for k in range(wanted):
            for c in range(source.shape[1]):
                target[(s + 1) * steps - wanted + k, c] += source[s * wanted + k, c]


@njit(error_model="numpy")
def room(memory, start, rows, columns):
    """A matrix in the working memory, and where the next one starts."""
    end = start + rows * columns
    return memory[start:end].reshape(rows, columns), end


def layer(
    first, last, steps, wanted, epsilon, part_epsilon, hidden, memory, norm_weight, in_weight, in_bias,
    channel_weights, x_weight, dt_weight, rates, out_weight, out_bias, tails, h,
):  # fmt: skip
    """`steps` tokens of each of the sequences `first` to `last` of the batch, whose tails and states h go on. The
    `wanted` last of them are added to hidden [tokens, hidden].

    memory: see `working_memory`; channel_weights [7, channels]: the convolution's weight and bias, the bias of the
    time steps, D; `part_epsilon` is that of Falcon-Mamba's norms, negative for none. The weights of the products may
    be of words."""
    tokens, channels = (last - first) * steps, channel_weights.shape[1]
    n = rates.shape[1]
    rank = x_weight.shape[0] - 2 * n
    rows = tokens + SPARE
    panel, end = room(memory, 0, PANEL, LANES)
    scratch, end = room(memory, end, 3 * STEPS, LANES)
    normed, end = room(memory, end, rows, hidden.shape[1])
    inputs, end = room(memory, end, rows, channels)
    x, end = room(memory, end, rows, channels)
    dt, end = room(memory, end, rows, channels)
    mixed, end = room(memory, end, rows, (rank + 2 * n + LANES - 1) // LANES * LANES)

    halves = in_bias.shape[0] // 2
    norm(tokens, epsilon, hidden, norm_weight, normed)
    normed = operand(in_weight, tokens, normed, normed)
    product(normed, in_weight[:channels], in_bias[:halves], inputs, panel, tokens, False)
    conv(first, last, steps, inputs, channel_weights, tails, x)
    product(operand(x_weight, tokens, x, inputs), x_weight, in_bias[:0], mixed, panel, tokens, False)
    if part_epsilon >= 0.0:
        norm_parts(tokens, part_epsilon, rank, n, mixed)
    product(operand(dt_weight, tokens, mixed, inputs), dt_weight, in_bias[:0], dt, panel, tokens, False)
    scan(first, last, steps, x, dt, mixed, rank + n, rates, channel_weights, h, scratch)
    if wanted == 0:
        return
    if wanted < steps:
        copy_last(last - first, steps, wanted, normed, normed)
        copy_last(last - first, steps, wanted, x, x)
        tokens = (last - first) * wanted
    product(normed, in_weight[channels:], in_bias[halves:], inputs, panel, tokens, False)
    gate(tokens, inputs, x)
    x = operand(out_weight, tokens, x, x)
    if wanted == steps:
        product(x, out_weight, out_bias, hidden, panel, tokens, True)
    else:
        product(x, out_weight, out_bias, normed, panel, tokens, False)
        add_last(last - first, steps, wanted, normed, hidden)


def working_memory(tokens: int, hidden: int, channels: int, mixed: int) -> int:
    """Floats that `layer` works in for so many tokens."""
    columns = [width + -width % LANES for width in (hidden, channels, channels, channels, mixed)]
    return (PANEL + 3 * STEPS) * LANES + (tokens + SPARE) * sum(columns)


@lru_cache(maxsize=2)
def compiled(words: bool) -> Callable:
    """The kernel for products with weights of float32, or of words."""
    settings = (types.intp,) * 4 + (types.float32,) * 2
    axes = "211w12ww3w134" if words else "2112122232134"
    modules = vector_math, bfloat_words, tile_product, amx_product
    return build(layer, axes, settings, layout="C", below=modules, variant="_amx" if AMX else "")
