"""Whole Mamba-1 and Falcon-Mamba models of transformers read on a CPU, tile by tile.

Within a layer a tile of a few hundred tokens goes through all operations before the next one does, in buffers
that are allocated once and stay in the second-level cache, where one pass an operation over the whole prompt
would move every intermediate through memory (fresh pages each time). States go from tile to tile. The last layer
computes gate and `out_proj` only for the positions whose logits are wanted. Numbers are those of
`models/cpu_mamba.py` but for the order of sums; the cache holds what transformers puts there.

    python -m pytest tests/models/test_mamba_prefill.py
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache
from transformers.models.falcon_mamba.modeling_falcon_mamba import FalconMambaMixer

from models.prefill_kernels import STEPS, WIDTH, compiled
from models.scan_kernels import share
from models.selective_scan import arrays, channel_rows, lane_blocks, workers_for
from models.vector_math import LANES, LOG2_E

# Tokens of a tile and thread: more would leave the cache, fewer pay the calls and the weights' packing too often.
TILE = 512


def fits(config: Any) -> bool:
    """Whether the kernels cover the model's shape."""
    whole = config.intermediate_size % LANES == 0 and config.state_size % 4 == 0
    return whole and config.conv_kernel == WIDTH


def read(model: Any, input_ids: Tensor, cache: DynamicCache | None, keep: int) -> Tensor:
    """Hidden states [batch, keep, hidden] of the last `keep` positions of `input_ids` [batch, length], ready for
    the head. Goes on from `cache` and fills it, if there is one. For float32 weights on the CPU, without
    gradients."""
    hidden = model.backbone.embeddings(input_ids)
    batch, length, _ = hidden.shape
    tile = TILE * torch.get_num_threads()
    parts = max(1, round(length / tile))
    sequences = max(1, round(tile / length)) if parts == 1 else 1
    cuts = [length * part // parts for part in range(parts + 1)]
    blocks = model.backbone.layers
    buffers = Buffers.of(blocks[0].mixer, min(sequences, batch) * -(-length // parts))
    for block in blocks:
        wanted = keep if block is blocks[-1] else length
        layer = Layer(block, cache, batch, length, gated=wanted == length)
        for first in range(0, batch, sequences):
            rows = slice(first, min(first + sequences, batch))
            for start, end in pairwise(cuts):
                layer.read(hidden[rows, start:end], rows, buffers, wanted=max(0, end - length + wanted))
        if cache is not None:
            layer.fill(cache)
    return model.backbone.norm_f(hidden[:, length - keep :])


@dataclass(frozen=True)
class Buffers:
    """Working memory of one tile, [tokens, ..] each; xz is flat, the last layer's is narrower."""

    normed: Tensor
    xz: Tensor
    x: Tensor
    dbc: Tensor
    dt: Tensor
    scratch: Tensor

    @classmethod
    def of(cls, mixer: Any, tokens: int) -> Buffers:
        channels = mixer.intermediate_size
        return cls(
            normed=torch.empty(tokens, mixer.hidden_size),
            xz=torch.empty(tokens * 2 * channels),
            x=torch.empty(tokens, channels),
            dbc=torch.empty(tokens, mixer.time_step_rank + 2 * mixer.ssm_state_size),
            dt=torch.empty(tokens, channels),
            scratch=torch.empty(torch.get_num_threads(), 3, STEPS, LANES),
        )


class Layer:
    """A block of the model on its way through the tiles, with the states of all sequences.

    `gated`: every position is wanted; else z and `out_proj` are left to the few that are.
    """

    def __init__(
        self, block: Any, cache: DynamicCache | None, batch: int, length: int, *, gated: bool
    ) -> None:
        mixer = self.mixer = block.mixer
        self.norm, self.gated, self.channels = block.norm, gated, mixer.intermediate_size
        rates = lane_blocks(torch.exp(mixer.A_log) * -LOG2_E)
        bias = mixer.conv1d.bias
        bias = torch.zeros(self.channels) if bias is None else bias
        self.norm_weight = arrays(block.norm.weight)
        self.conv_weights = arrays(mixer.conv1d.weight.squeeze(1).t().contiguous(), bias)
        self.scan_weights = arrays(rates, mixer.D, mixer.dt_proj.bias)
        self.in_weight, self.in_bias = mixer.in_proj.weight, mixer.in_proj.bias
        if not gated:
            self.in_weight = self.in_weight[: self.channels]
            self.in_bias = None if self.in_bias is None else self.in_bias[: self.channels]
        conv_state = recurrent_state = None
        if cache is not None:
            conv_state = cache.get_conv_state(mixer.layer_idx, state_idx=0)
            recurrent_state = cache.get_recurrent_state(mixer.layer_idx, state_idx=0)
        self.tails = torch.zeros(batch, WIDTH - 1, self.channels)
        if conv_state is not None:
            self.tails.copy_(conv_state[..., 1 - WIDTH :].transpose(1, 2))
        self.h = torch.zeros(batch, *rates.shape)
        if recurrent_state is not None:
            self.h = lane_blocks(recurrent_state)
        self.inputs = torch.empty(batch, min(length, WIDTH), self.channels)

    def read(self, hidden: Tensor, rows: slice, buffers: Buffers, *, wanted: int) -> None:
        """One tile, added to `hidden` [sequences, steps, hidden] in place; where not `gated`, in its `wanted` last
        steps only."""
        mixer, kernels, channels = self.mixer, compiled(), self.channels
        sequences, steps, width = hidden.shape
        tokens, blocks = sequences * steps, channels // LANES
        tile = hidden.view(tokens, width)
        normed, x, dbc, dt = (b[:tokens] for b in (buffers.normed, buffers.x, buffers.dbc, buffers.dt))
        xz = buffers.xz[: tokens * len(self.in_weight)].view(tokens, -1)
        views = arrays(tile, normed, xz, x, dbc, dt, self.tails[rows], self.h[rows], buffers.scratch)
        tile_view, normed_view, xz_view, x_view, dbc_view, dt_view, tails, h, scratch = views

        workers = workers_for(tokens, tokens * width)
        share(
            kernels.norm,
            tokens,
            workers,
            self.norm.variance_epsilon,
            tile_view,
            *self.norm_weight,
            normed_view,
        )
        multiply(normed, self.in_weight, self.in_bias, xz)
        workers = workers_for(blocks, tokens * channels * WIDTH)
        share(kernels.conv, blocks, workers, steps, xz_view, *self.conv_weights, tails, x_view)
        self.project(x, dbc, dt)
        workers = workers_for(blocks, tokens * channels * mixer.ssm_state_size)
        inputs = (x_view, dt_view, dbc_view, xz_view, *self.scan_weights)
        share(kernels.scan, blocks, workers, steps, self.gated, *inputs, h, scratch, x_view)
        if self.gated:
            tile.addmm_(x, mixer.out_proj.weight.t())
            if mixer.out_proj.bias is not None:
                tile.add_(mixer.out_proj.bias)
        elif wanted:
            ends = slice(max(0, steps - wanted), steps)
            z = mixer.in_proj(normed.view(hidden.shape)[:, ends])[..., channels:]
            hidden[:, ends] += mixer.out_proj(x.view(sequences, steps, -1)[:, ends] * F.silu(z))
        self.inputs[rows] = xz.view(sequences, steps, -1)[:, -WIDTH:, :channels]

    def project(self, x: Tensor, dbc: Tensor, dt: Tensor) -> None:
        """From x to the time steps before their bias, B and C."""
        mixer = self.mixer
        torch.mm(x, mixer.x_proj.weight.t(), out=dbc)
        sizes = [mixer.time_step_rank, mixer.ssm_state_size, mixer.ssm_state_size]
        low, B, C = dbc.split(sizes, dim=-1)
        if isinstance(mixer, FalconMambaMixer):
            norms = (mixer.dt_layernorm, mixer.b_layernorm, mixer.c_layernorm)
            for norm, part in zip(norms, (low, B, C), strict=True):
                part.copy_(norm(part))
        torch.mm(low, mixer.dt_proj.weight.t(), out=dt)

    def fill(self, cache: DynamicCache) -> None:
        """Leave in the cache what transformers would."""
        layer = self.mixer.layer_idx
        cache.update_conv_state(self.inputs.transpose(1, 2), layer, conv_kernel_size=WIDTH)
        cache.update_recurrent_state(channel_rows(self.h), layer)


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> None:
    """A linear layer into a buffer."""
    if bias is None:
        torch.mm(x, weight.t(), out=out)
    else:
        torch.addmm(bias, x, weight.t(), out=out)
