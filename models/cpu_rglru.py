"""The recurrence of RecurrentGemma's RG-LRU on a CPU: h_t = a_t h_{t-1} + x_t, channel by channel.

transformers runs it as a Python loop over the tokens (De et al. 2024, equation 4, after the gates). `attach` gives
every RG-LRU of a loaded model a compiled one; single steps and training keep theirs.

    python -m pytest tests/models/test_cpu_rglru.py
"""

from __future__ import annotations

from functools import lru_cache
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.recurrent_gemma.modeling_recurrent_gemma import RecurrentGemmaRglru

from models.compiling import build
from models.lane_layout import arrays, dense
from models.threads import share, workers_for
from models.vector_math import LANES, load, store


def attach(model: nn.Module) -> int:
    """Give every RG-LRU of a model on the CPU this file's recurrence; returns how many."""
    units: list[Any] = [module for module in model.modules() if isinstance(module, RecurrentGemmaRglru)]
    units = [unit for unit in units if unit.recurrent_param.device.type == "cpu"]
    for unit in units:
        unit._rnn_scan = MethodType(scan, unit)
    return len(units)


def scan(
    unit: RecurrentGemmaRglru,
    hidden_states: Tensor,
    recurrent_gate: Tensor,
    reset: Tensor,
    recurrent_states: Tensor | None,
    **options: Any,
) -> tuple[Tensor, Tensor]:
    """x and a, [batch, length, width], to h like x and the last h, float32 [batch, width]; a is 0 where `reset`
    [batch, length, 1]."""
    if torch.is_grad_enabled() or hidden_states.shape[1] == 1 or hidden_states.shape[2] % LANES:
        theirs = RecurrentGemmaRglru._rnn_scan
        return theirs(unit, hidden_states, recurrent_gate, reset, recurrent_states, **options)
    batch, _, width = hidden_states.shape
    start = torch.zeros(batch, width) if recurrent_states is None else recurrent_states
    last = start.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    states = torch.empty(hidden_states.shape)
    blocks = width // LANES
    inputs = [dense(hidden_states), dense(recurrent_gate * ~reset)]
    share(compiled(), blocks, workers_for(blocks, states.numel()), *arrays(*inputs, last, states))
    return states.to(hidden_states.dtype), last


def recurrence(worker, first, last, x, a, h, y):
    """Tasks are blocks of sixteen channels; h [batch, width] goes in as the first and out as the last state."""
    for s in range(x.shape[0]):
        for t in range(x.shape[1]):
            for block in range(first, last):
                c = block * LANES
                value = load(a, (s, t, c)) * load(h, (s, c)) + load(x, (s, t, c))
                store(h, (s, c), value)
                store(y, (s, t, c), value)


@lru_cache(maxsize=1)
def compiled() -> Any:
    return build(recurrence, "3323")
