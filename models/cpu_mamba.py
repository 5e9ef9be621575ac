"""Mamba-1 and Falcon-Mamba of transformers on a CPU, run through `models/selective_scan.py`.

`attach` swaps the forward of every mixer of a loaded model for one that stays channel-last from `in_proj` to
`out_proj` and makes no tensor of length x channels x state. Weights, cache objects and callers are untouched:
prefill, single steps and training give what transformers gives. One thing it does better: transformers 5.23
restarts the recurrent state when several tokens meet a filled cache, and this forward goes on from it.

    python -m pytest tests/models/test_cpu_mamba.py
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch.nn.functional as F
from torch import Tensor, exp, nn
from transformers.models.falcon_mamba.modeling_falcon_mamba import FalconMambaMixer
from transformers.models.mamba.modeling_mamba import MambaMixer

from models.selective_scan import causal_conv_silu, selective_scan


def attach(model: nn.Module) -> int:
    """Give every Mamba-1 and Falcon-Mamba mixer of a model on the CPU this file's forward; returns how many.

    Mixers on another device, quantized, or with another activation than SiLU are left alone.
    """
    mixers = [m for m in model.modules() if isinstance(m, (MambaMixer, FalconMambaMixer)) and supported(m)]
    for mixer in mixers:
        mixer.forward = MethodType(forward, mixer)
    return len(mixers)


def supported(mixer: MambaMixer | FalconMambaMixer) -> bool:
    plain = mixer.A_log.device.type == "cpu" and not hasattr(mixer.config, "_is_quantized")
    return plain and mixer.activation in ("silu", "swish")


def forward(
    mixer: MambaMixer | FalconMambaMixer,
    hidden_states: Tensor,
    cache_params: Any = None,
    attention_mask: Tensor | None = None,
    **_,
) -> Tensor:
    """[batch, length, hidden] to the same shape; reads and advances this layer's states in `cache_params`."""
    length, dtype, layer = hidden_states.shape[1], hidden_states.dtype, mixer.layer_idx
    conv_state, recurrent_state = None, None
    if cache_params is not None:
        conv_state = cache_params.get_conv_state(layer, state_idx=0)
        recurrent_state = cache_params.get_recurrent_state(layer, state_idx=0)
    mask = None if attention_mask is None else attention_mask[:, -length:, None]

    inputs, z = mixer.in_proj(masked(hidden_states, mask)).chunk(2, dim=-1)
    window, before = mixer.conv_kernel_size, None
    if conv_state is not None:
        before = conv_state[..., conv_state.shape[-1] - window + 1 :].transpose(1, 2)
    x = causal_conv_silu(inputs, mixer.conv1d.weight.squeeze(1), mixer.conv1d.bias, before)[0]
    if cache_params is not None:
        # A recording cache wants every input; otherwise the last few are all that it keeps.
        kept = inputs if cache_params.is_recording_past(layer) else inputs[:, -window:]
        cache_params.update_conv_state(kept.transpose(1, 2), layer, conv_kernel_size=window)
    x = masked(x, mask)

    sizes = [mixer.time_step_rank, mixer.ssm_state_size, mixer.ssm_state_size]
    dt, B, C = mixer.x_proj(x).split(sizes, dim=-1)
    if isinstance(mixer, FalconMambaMixer):
        dt, B, C = mixer.dt_layernorm(dt), mixer.b_layernorm(B), mixer.c_layernorm(C)
    dt = F.linear(dt, mixer.dt_proj.weight)
    A = -exp(mixer.A_log.float())
    y, last = selective_scan(x, dt, A, B, C, mixer.D, z, mixer.dt_proj.bias, recurrent_state)
    if cache_params is not None:
        cache_params.update_recurrent_state(last, layer)
    return mixer.out_proj(y.to(dtype))


def masked(states: Tensor, mask: Tensor | None) -> Tensor:
    """Padding set to zero, as transformers does before and after the convolution."""
    return states if mask is None else (states * mask).to(states.dtype)
