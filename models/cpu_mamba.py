"""Mamba-1 and Falcon-Mamba of transformers on a CPU, run through `models/selective_scan.py`.

`attach` swaps the forward of every mixer of a loaded model for one that stays channel-last from `in_proj` to
`out_proj` and makes no tensor of length x channels x state, and the forward of the language model for one that
reads prompts through `models/mamba_prefill.py`. Weights, cache objects and callers are untouched: prefill,
single steps and training give what transformers gives. One thing it does better: transformers 5.23 restarts the
recurrent state when several tokens meet a filled cache, and these forwards go on from it.

    python -m pytest tests/models/test_cpu_mamba.py
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, exp, nn
from transformers import DynamicCache, FalconMambaForCausalLM, MambaForCausalLM
from transformers.models.falcon_mamba.modeling_falcon_mamba import FalconMambaCausalLMOutput, FalconMambaMixer
from transformers.models.mamba.modeling_mamba import MambaCausalLMOutput, MambaMixer

from models import mamba_prefill
from models.mamba_step import convolved, moves_on, scanned
from models.selective_scan import causal_conv_silu, selective_scan


def attach(model: nn.Module) -> int:
    """Give every Mamba-1 and Falcon-Mamba mixer of a model on the CPU this file's forward; returns how many.

    Mixers on another device, quantized, or with another activation than SiLU are left alone.
    """
    mixers = [m for m in model.modules() if isinstance(m, (MambaMixer, FalconMambaMixer)) and supported(m)]
    for mixer in mixers:
        mixer.forward = MethodType(forward, mixer)
    if mixers and type(model) in FORWARDS:
        model.forward = MethodType(FORWARDS[type(model)], model)
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
    dtype, layer = hidden_states.dtype, mixer.layer_idx
    alone = moves_on(mixer, hidden_states, cache_params, attention_mask)
    mask = None if attention_mask is None else attention_mask[:, -hidden_states.shape[1] :, None]
    inputs, z = mixer.in_proj(masked(hidden_states, mask)).chunk(2, dim=-1)
    x = (
        convolved(mixer, inputs, cache_params)
        if alone
        else masked(_convolved(mixer, inputs, cache_params), mask)
    )

    sizes = [mixer.time_step_rank, mixer.ssm_state_size, mixer.ssm_state_size]
    dt, B, C = mixer.x_proj(x).split(sizes, dim=-1)
    if isinstance(mixer, FalconMambaMixer):
        dt, B, C = mixer.dt_layernorm(dt), mixer.b_layernorm(B), mixer.c_layernorm(C)
    dt = F.linear(dt, mixer.dt_proj.weight)
    if alone:
        return mixer.out_proj(scanned(mixer, x, dt, B, C, z, cache_params).to(dtype))
    before = None if cache_params is None else cache_params.get_recurrent_state(layer, state_idx=0)
    A = -exp(mixer.A_log.float())
    y, last = selective_scan(x, dt, A, B, C, mixer.D, z, mixer.dt_proj.bias, before)
    if cache_params is not None:
        cache_params.update_recurrent_state(last, layer)
    return mixer.out_proj(y.to(dtype))


def _convolved(mixer: MambaMixer | FalconMambaMixer, inputs: Tensor, cache: Any) -> Tensor:
    """The convolution of any number of steps, whose last inputs go into the cache."""
    layer, window, before = mixer.layer_idx, mixer.conv_kernel_size, None
    if cache is not None and (state := cache.get_conv_state(layer, state_idx=0)) is not None:
        before = state[..., state.shape[-1] - window + 1 :].transpose(1, 2)
    x = causal_conv_silu(inputs, mixer.conv1d.weight.squeeze(1), mixer.conv1d.bias, before)[0]
    if cache is not None:
        # A recording cache wants every input; otherwise the last few are all that it keeps.
        kept = inputs if cache.is_recording_past(layer) else inputs[:, -window:]
        cache.update_conv_state(kept.transpose(1, 2), layer, conv_kernel_size=window)
    return x


def masked(states: Tensor, mask: Tensor | None) -> Tensor:
    """Padding set to zero, as transformers does before and after the convolution."""
    return states if mask is None else (states * mask).to(states.dtype)


def ordinary(model: Any, cache: Any) -> bool:
    """Whether `mamba_prefill.read` does what the model's modules would do: they are as they were loaded and
    attached, hooked by nobody, and all float32 or all bfloat16."""
    if model.training or torch.is_autocast_enabled("cpu"):
        return False
    if cache is not None and type(cache) is not DynamicCache:
        return False
    layers: Any = [] if cache is None else cache.layers
    if any(layer.record_past for layer in layers):
        return False
    bypassed = [model.backbone, model.backbone.embeddings, *model.backbone.layers.modules()]
    if any(module._forward_hooks or module._forward_pre_hooks for module in bypassed):
        return False
    dtype = model.dtype
    if any(p.dtype != dtype or p.device.type != "cpu" for p in model.parameters()):
        return False
    mixers = [block.mixer for block in model.backbone.layers]
    linears = ("in_proj", "x_proj", "dt_proj", "out_proj")
    return mamba_prefill.fits(model.config, dtype) and all(
        getattr(mixer.forward, "__func__", None) is forward
        and all(type(getattr(mixer, name)) is nn.Linear for name in linears)
        for mixer in mixers
    )


def mixes_lengths(model: Any) -> bool:
    """Whether the model's forward, without gradients, reads rows of several lengths in one call: `lengths` says
    how many of a row's `input_ids` are its own, the first ones, and no logits are made of the others."""
    return getattr(model.forward, "__func__", None) in FORWARDS.values() and ordinary(model, None)


def whole(family: type[Any], output: type[Any]) -> Any:
    """The forward of a language model: prompts through `mamba_prefill.read`, all else as `family` does it."""
    theirs = family.forward

    @wraps(theirs)
    def forward_model(
        model: Any,
        input_ids: Tensor | None = None,
        *,
        cache_params: Any = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        lengths: Sequence[int] | None = None,
        **options: Any,
    ) -> Any:
        length = 0 if input_ids is None else input_ids.shape[1]
        usual = length > 1 and isinstance(logits_to_keep, int) and not torch.is_grad_enabled()
        usual &= all(value is None or (name == "return_dict" and value) for name, value in options.items())
        usual &= bool(model.config.return_dict) and not model.config.output_hidden_states
        if input_ids is None or not usual or not ordinary(model, cache_params):
            if lengths is not None:
                raise ValueError("this model reads rows of one length here: see mixes_lengths")
            options |= {
                "cache_params": cache_params,
                "use_cache": use_cache,
                "logits_to_keep": logits_to_keep,
            }
            return theirs(model, input_ids, **options)
        cached = model.config.use_cache if use_cache is None else use_cache
        if cached and cache_params is None:
            cache_params = DynamicCache(config=model.config)
        keep = min(int(logits_to_keep) or length, length, *lengths or ())
        states = mamba_prefill.read(model, input_ids, cache_params, keep, lengths)
        logits = model.lm_head(states).float()
        return output(logits=logits, cache_params=cache_params if cached else None)

    return forward_model


FORWARDS = {
    MambaForCausalLM: whole(MambaForCausalLM, MambaCausalLMOutput),
    FalconMambaForCausalLM: whole(FalconMambaForCausalLM, FalconMambaCausalLMOutput),
}
