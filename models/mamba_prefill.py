"""Whole Mamba-1 and Falcon-Mamba models of transformers read on a CPU, tile by tile.

A tile of a few hundred tokens goes through a layer in one call of a kernel (`models/prefill_kernels.py`), in buffers
that stay in the second-level cache; several threads take several tiles through the layers at a time
(`models/wavefront.py`), states going from tile to tile. Only the tiles on their way exist: memory does not grow with
the prompt. Rows of a batch may differ in length: nothing is padded. The last layer computes gate and `out_proj` only
for the positions whose logits are wanted. Numbers are those of `models/cpu_mamba.py` but for the order of sums; the
cache holds what transformers puts there.

    python -m pytest tests/models/test_mamba_prefill.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.models.falcon_mamba.modeling_falcon_mamba import FalconMambaMixer

from models.cache import keep_linear_states
from models.lane_layout import arrays, channel_rows, lane_blocks
from models.prefill_kernels import WIDTH, compiled, working_memory
from models.tile_product import SPARE, rows_at_once
from models.vector_math import LANES, LOG2_E
from models.wavefront import open_tiles, sweep

# Tokens of a tile: more would leave the second-level cache; fewer pack the weights too often, and are worth it
# only (down to SMALL) where threads would wait for each other, or (down to LEAST) where they had nothing to do.
TILE, SMALL, LEAST = 252, 60, 24
LAG = 24  # steps that a thread takes, if it can, for the one that it waits at the start


def fits(config: Any, dtype: torch.dtype) -> bool:
    """Whether the kernels cover the model's shape, with weights of this kind."""
    if dtype == torch.bfloat16 and (config.hidden_size % 2 or config.time_step_rank % 2):
        return False  # the last number would have no other to make a word with
    if config.time_step_rank > config.intermediate_size:
        return False  # their words would not fit where the kernel puts them
    whole = config.intermediate_size % LANES == 0 and config.state_size % 4 == 0
    return whole and config.conv_kernel == WIDTH and dtype in (torch.float32, torch.bfloat16)


@dataclass(frozen=True)
class Tile:
    """Steps `start` to `end` of some sequences of the batch, which have `length`; tile `before` of the same
    batch is the one before it in them (-1: there is none)."""

    rows: slice
    start: int
    end: int
    length: int
    before: int = -1

    @property
    def steps(self) -> int:
        return self.end - self.start

    @property
    def tokens(self) -> int:
        return (self.rows.stop - self.rows.start) * self.steps


def read(
    model: Any, input_ids: Tensor, cache: DynamicCache | None, keep: int, lengths: Sequence[int] | None = None
) -> Tensor:
    """Hidden states [batch, keep, hidden] of the last `keep` positions of `input_ids` [batch, length], ready for
    the head. A row's first `lengths` ids are read (all of them by default). Goes on from `cache` and fills it, if
    there is one. For weights on the CPU, without gradients, of float32, or of bfloat16: the products are then of
    bfloat16 numbers, and all else is float32."""
    blocks, threads = model.backbone.layers, torch.get_num_threads()
    multiple = rows_at_once(words=model.dtype == torch.bfloat16)
    tiles = cut(lengths or [input_ids.shape[1]] * len(input_ids), len(blocks), threads, multiple)
    states = States(model, cache, len(input_ids))
    kept = _sweep(model, input_ids, tiles, states, keep, min(threads, len(tiles)))
    if cache is not None:
        states.leave(cache, model.dtype)
    return model.backbone.norm_f(kept.to(model.dtype))


def _sweep(
    model: Any, input_ids: Tensor, tiles: Sequence[Tile], states: States, keep: int, workers: int
) -> Tensor:
    """All tiles through all layers; what they work in is gone when the states are left in the cache."""
    config = model.config
    width, channels = config.hidden_size, config.intermediate_size
    rates = decay_rates(model)
    layers = [Layer(block, states, rates, depth) for depth, block in enumerate(model.backbone.layers)]
    kept = torch.empty(len(input_ids), keep, width)
    embeddings = model.backbone.embeddings.weight.detach()
    table = embeddings.view(torch.int16) if embeddings.dtype == torch.bfloat16 else embeddings
    kept_array, table_array, ids = arrays(kept, table, input_ids)
    tokens = max(tile.tokens for tile in tiles)
    mixed = config.time_step_rank + 2 * config.state_size
    # Hidden states of the open tiles, with the room around them that the kernel asks for.
    room = min(open_tiles(workers), len(tiles)), tokens + SPARE, width + -width % LANES
    # Torch's memory begins with a line of the cache, numpy's in the middle of one: products would take twice the time.
    memories, hidden = arrays(
        torch.empty(workers, working_memory(tokens, width, channels, mixed), dtype=torch.float32),
        torch.zeros(room, dtype=torch.float32),
    )

    def step(worker: int, index: int, depth: int) -> None:
        tile, x = tiles[index], hidden[index % len(hidden)]
        if depth == 0:
            x[: tile.tokens, :width] = widened(table_array[ids[tile.rows, tile.start : tile.end].reshape(-1)])
        last = tile.end - tile.length + keep  # where the tile ends among the kept positions
        kept_here = min(max(last, 0), tile.steps)
        through = depth == len(layers) - 1
        layers[depth].read(x, tile, memories[worker], wanted=kept_here if through else tile.steps)
        if through and kept_here:
            ends = x[: tile.tokens, :width].reshape(-1, tile.steps, width)
            kept_array[tile.rows, last - kept_here : last] = ends[:, tile.steps - kept_here :]

    sweep(step, before=[tile.before for tile in tiles], layers=len(layers), workers=workers)
    return kept


def cut(lengths: Sequence[int], layers: int, threads: int, multiple: int) -> list[Tile]:
    """The tiles of sequences of these lengths, in the order in which they are read: all sequences side by side. Where a
    sequence goes on, its tile has some whole `multiple` of tokens.

    Short neighbours of one length share a tile. Sequences left over when every thread has as many as the others
    are cut evenly for several of them, and the smaller the fewer `layers` there are: each begins one step later
    than the one before."""
    groups = _groups(lengths, threads)
    odd = len(groups) % threads
    placed: list[tuple[float, int, Tile]] = []
    for number, (rows, length) in enumerate(groups):
        sharers = min(threads // odd, length // LEAST) if number >= len(groups) - odd else 1
        borders = _borders(length, layers, sharers, multiple)
        placed += [
            (start / length, number, Tile(rows, start, end, length)) for start, end in pairwise(borders)
        ]
    tiles: list[Tile] = []
    latest: dict[int, int] = {}
    for _, number, tile in sorted(placed, key=lambda place: place[:2]):
        tiles.append(replace(tile, before=latest.get(number, -1)))
        latest[number] = len(tiles) - 1
    return tiles


def _groups(lengths: Sequence[int], threads: int) -> list[tuple[slice, int]]:
    """The sequences whose tiles are read in one, and their length."""
    groups, first = [], 0
    for length, alike in groupby(lengths):
        end = first + len(list(alike))
        shared = min(max(1, TILE // length), max(-(-len(lengths) // threads), -(-LEAST // length)))
        groups += [(slice(start, min(start + shared, end)), length) for start in range(first, end, shared)]
        first = end
    return groups


def _borders(length: int, layers: int, sharers: int, multiple: int) -> list[int]:
    """Where a sequence is cut into tiles."""
    parts = max(1, round(length / TILE))
    if sharers > 1:
        size = min(max(length * layers // (LAG * sharers), SMALL), TILE)
        parts = max(1, round(length / size / sharers)) * sharers
    ends = (length * part // parts for part in range(1, parts))
    return [0, *sorted({end - end % multiple for end in ends} - {0}), length]


class States:
    """What a model remembers of its sequences, as the kernel takes it: `tails` [layers, batch, WIDTH, channels], the
    last inputs of the convolution, and `h` [layers, batch, blocks, n, 16]. One block of memory each, which the
    allocator can give back whole."""

    def __init__(self, model: Any, cache: Any, batch: int) -> None:
        config = model.config
        channels, n, layers = config.intermediate_size, config.state_size, config.num_hidden_layers
        self.tails = torch.zeros(layers, batch, WIDTH, channels)
        self.h = torch.zeros(layers, batch, channels // LANES, n, LANES)
        for depth in range(layers if cache is not None and cache.has_previous_state() else 0):
            self.tails[depth] = cache.get_conv_state(depth, state_idx=0).transpose(1, 2)
            self.h[depth] = lane_blocks(cache.get_recurrent_state(depth, state_idx=0))

    def leave(self, cache: DynamicCache, dtype: torch.dtype) -> None:
        """In the cache as transformers would, and no longer here."""
        tails = self.tails.transpose(2, 3).contiguous().to(dtype)
        del self.tails
        h = channel_rows(self.h)
        del self.h
        keep_linear_states(cache, tails, h)


def decay_rates(model: Any) -> Tensor:
    """A log2(e) of all layers, [layers, blocks, n, 16]."""
    logs = torch.stack([block.mixer.A_log.float() for block in model.backbone.layers])
    return lane_blocks(logs.exp_().mul_(-LOG2_E))


def widened(rows: np.ndarray) -> np.ndarray:
    """Numbers of float32, or those of the bfloat16 whose bits are given."""
    return rows if rows.dtype == np.float32 else (rows.astype(np.int32) << 16).view(np.float32)


def kernel_weight(weight: Tensor) -> Tensor:
    """A weight as the kernel's products take it: two bfloat16 numbers in one word."""
    weight = weight.detach().contiguous()
    if weight.dtype != torch.bfloat16:
        return weight
    return (weight.clone() if weight.storage_offset() % 2 else weight).view(torch.int32)


class Layer:
    """A block of the model as the kernel takes it, with the states of all sequences."""

    def __init__(self, block: Any, states: States, rates: Tensor, depth: int) -> None:
        mixer = block.mixer
        self.kernel = compiled(words=mixer.in_proj.weight.dtype == torch.bfloat16)
        falcon = isinstance(mixer, FalconMambaMixer)
        self.epsilons = block.norm.variance_epsilon, mixer.dt_layernorm.eps if falcon else -1.0
        absent = torch.empty(0)
        conv, in_proj, out_proj = mixer.conv1d, mixer.in_proj, mixer.out_proj
        conv_bias = torch.zeros(mixer.intermediate_size) if conv.bias is None else conv.bias
        self.arrays = arrays(
            block.norm.weight.float().contiguous(),
            kernel_weight(in_proj.weight),
            absent if in_proj.bias is None else in_proj.bias.float(),
            torch.vstack([conv.weight.squeeze(1).t(), conv_bias, mixer.dt_proj.bias, mixer.D]).float(),
            kernel_weight(mixer.x_proj.weight),
            kernel_weight(mixer.dt_proj.weight),
            rates[depth],
            kernel_weight(out_proj.weight),
            absent if out_proj.bias is None else out_proj.bias.float(),
            states.tails[depth],
            states.h[depth],
        )

    def read(self, hidden: np.ndarray, tile: Tile, memory: np.ndarray, *, wanted: int) -> None:
        """Read a tile, and add to `hidden` [tokens, hidden], in place, what its `wanted` last steps give."""
        shape = tile.rows.start, tile.rows.stop, tile.steps, wanted
        self.kernel(*shape, *self.epsilons, hidden, memory, *self.arrays)
