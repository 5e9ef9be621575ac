"""Whole Mamba-1 and Falcon-Mamba models of transformers read on a CPU, tile by tile.

A tile of a few hundred tokens goes through a layer in one call of a kernel (`models/prefill_kernels.py`), in buffers
that stay in the second-level cache; several threads take several tiles through the layers at a time
(`models/wavefront.py`), states going from tile to tile. Only the tiles on their way exist: memory does not grow with
the prompt. The last layer computes gate and `out_proj` only for the positions whose logits are wanted. Numbers are
those of `models/cpu_mamba.py` but for the order of sums; the cache holds what transformers puts there.

    python -m pytest tests/models/test_mamba_prefill.py
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.models.falcon_mamba.modeling_falcon_mamba import FalconMambaMixer

from models.prefill_kernels import WIDTH, compiled, working_memory
from models.selective_scan import arrays, channel_rows, lane_blocks
from models.tile_product import ROWS
from models.vector_math import LANES, LOG2_E
from models.wavefront import sweep

# Tokens of a tile: more would leave the second-level cache; fewer pack the weights too often, and are worth it
# only (down to SMALL) where threads would wait for each other, or (down to LEAST) where they had nothing to do.
TILE, SMALL, LEAST = 252, 60, 24
LAG = 24  # steps that a thread takes, if it can, for the one that it waits at the start


def fits(config: Any) -> bool:
    """Whether the kernels cover the model's shape."""
    whole = config.intermediate_size % LANES == 0 and config.state_size % 4 == 0
    return whole and config.conv_kernel == WIDTH


@dataclass(frozen=True)
class Tile:
    """Steps `start` to `end` of some sequences of the batch."""

    rows: slice
    start: int
    end: int

    @property
    def steps(self) -> int:
        return self.end - self.start

    @property
    def tokens(self) -> int:
        return (self.rows.stop - self.rows.start) * self.steps


def read(model: Any, input_ids: Tensor, cache: DynamicCache | None, keep: int) -> Tensor:
    """Hidden states [batch, keep, hidden] of the last `keep` positions of `input_ids` [batch, length], ready for
    the head. Goes on from `cache` and fills it, if there is one. For float32 weights on the CPU, without
    gradients."""
    batch, length = input_ids.shape
    blocks, config = model.backbone.layers, model.config
    threads = torch.get_num_threads()
    tiles, tracks = cut(batch, length, len(blocks), threads)
    layers = [Layer(block, cache, batch) for block in blocks]
    kept = torch.empty(batch, keep, config.hidden_size)
    kept_array, table, ids = arrays(kept, model.backbone.embeddings.weight, input_ids)
    hidden: dict[int, np.ndarray] = {}
    mixed = config.time_step_rank + 2 * config.state_size
    tokens = max(tile.tokens for tile in tiles)
    size = working_memory(tokens, config.hidden_size, config.intermediate_size, mixed)
    memories = [np.empty(size, np.float32) for _ in range(min(threads, len(tiles)))]

    def step(worker: int, index: int, depth: int) -> None:
        tile = tiles[index]
        if depth == 0:
            hidden[index] = embed(table, ids[tile.rows, tile.start : tile.end])
        last = tile.end - length + keep  # where the tile ends among the kept positions
        kept_here = min(max(last, 0), tile.steps)
        through = depth == len(layers) - 1
        wanted = kept_here if through else tile.steps
        layers[depth].read(hidden[index], tile, memories[worker], wanted=wanted)
        if through:
            states = hidden.pop(index)[: tile.tokens, : config.hidden_size]
            states = states.reshape(-1, tile.steps, config.hidden_size)
            kept_array[tile.rows, last - kept_here : last] = states[:, tile.steps - kept_here :]

    sweep(step, tiles=len(tiles), layers=len(layers), tracks=tracks, workers=len(memories))
    if cache is not None:
        for layer in layers:
            layer.fill(cache)
    return model.backbone.norm_f(kept)


def embed(table: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """[sequences, steps] ids as rows of hidden states, with the room around them that the kernel asks for."""
    width = table.shape[1]
    states = np.empty((ids.size + -ids.size % ROWS, width + -width % LANES), np.float32)
    states[: ids.size, :width] = table[ids.reshape(-1)]
    return states


def cut(batch: int, length: int, layers: int, threads: int) -> tuple[list[Tile], int]:
    """The tiles of `batch` sequences in the order in which they are read, and how many lie side by side.

    Short sequences share a tile. Where there are fewer sequences than threads, a sequence is cut evenly for several
    of them, and the smaller the fewer `layers` there are: each begins one step later than the one before."""
    shared = min(max(1, TILE // length), max(-(-batch // threads), -(-LEAST // length)))
    groups = [slice(first, min(first + shared, batch)) for first in range(0, batch, shared)]
    parts = max(1, round(length / TILE))
    sharers = min(threads // len(groups), length // LEAST)
    if sharers > 1:
        size = min(max(length * layers // (LAG * sharers), SMALL), TILE)
        parts = max(1, round(length / size / sharers)) * sharers
    ends = [length * part // parts for part in range(1, parts)]
    cuts = [0, *(end - end % ROWS for end in ends), length]
    return [Tile(rows, *borders) for borders in pairwise(cuts) for rows in groups], len(groups)


class Layer:
    """A block of the model as the kernel takes it, with the states of all sequences."""

    def __init__(self, block: Any, cache: DynamicCache | None, batch: int) -> None:
        mixer, channels = block.mixer, block.mixer.intermediate_size
        self.layer, self.kernel = mixer.layer_idx, compiled()
        falcon = isinstance(mixer, FalconMambaMixer)
        self.epsilons = block.norm.variance_epsilon, mixer.dt_layernorm.eps if falcon else -1.0
        absent = torch.empty(0)
        conv, in_proj, out_proj = mixer.conv1d, mixer.in_proj, mixer.out_proj
        conv_bias = torch.zeros(channels) if conv.bias is None else conv.bias
        rates = lane_blocks(torch.exp(mixer.A_log) * -LOG2_E)
        self.weights = arrays(
            block.norm.weight,
            in_proj.weight.contiguous(),
            absent if in_proj.bias is None else in_proj.bias,
            torch.vstack([conv.weight.squeeze(1).t(), conv_bias, mixer.dt_proj.bias, mixer.D]),
            mixer.x_proj.weight.contiguous(),
            mixer.dt_proj.weight.contiguous(),
            rates,
            out_proj.weight.contiguous(),
            absent if out_proj.bias is None else out_proj.bias,
        )
        conv_state = recurrent_state = None
        if cache is not None:
            conv_state = cache.get_conv_state(self.layer, state_idx=0)
            recurrent_state = cache.get_recurrent_state(self.layer, state_idx=0)
        self.tails = torch.zeros(batch, WIDTH, channels)
        if conv_state is not None:
            self.tails.copy_(conv_state.transpose(1, 2))
        self.h = torch.zeros(batch, *rates.shape)
        if recurrent_state is not None:
            self.h = lane_blocks(recurrent_state)
        self.states = arrays(self.tails, self.h)

    def read(self, hidden: np.ndarray, tile: Tile, memory: np.ndarray, *, wanted: int) -> None:
        """Read a tile, and add to `hidden` [tokens, hidden], in place, what its `wanted` last steps give."""
        shape = tile.rows.start, tile.rows.stop, tile.steps, wanted
        self.kernel(0, *shape, *self.epsilons, hidden, memory, *self.weights, *self.states)

    def fill(self, cache: DynamicCache) -> None:
        """Leave in the cache what transformers would."""
        cache.update_conv_state(self.tails.transpose(1, 2), self.layer, conv_kernel_size=WIDTH)
        cache.update_recurrent_state(channel_rows(self.h), self.layer)
