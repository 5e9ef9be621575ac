"""Reading states: the one place that knows how transformers 5.23 keeps what a reader remembers of its
prompt.

A state is whatever a family hands back after a prefill. For Mamba, Falcon-Mamba, Mamba-2, the hybrids and
the transformers it is a `DynamicCache`, from which one row is cut exactly. Other kinds cannot be cut:
RecurrentGemma keeps its state on its modules, RWKV returns a list that it overwrites, remote code does as
it likes. There the engine reads the row again. Exercised by ``pytest tests/models/test_cache.py``.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers import cache_utils as kinds

STATE_ARGUMENTS = ("cache_params", "past_key_values", "state")
STATE_ON_MODULES = frozenset({"recurrent_gemma"})


def state_argument(model: PreTrainedModel) -> str:
    """The argument of `model.forward`, and the field of its output, in which this family passes its state."""
    accepted = inspect.signature(model.forward).parameters
    return next((name for name in STATE_ARGUMENTS if name in accepted), "past_key_values")


def start_state(model: PreTrainedModel) -> Any:
    """What the first forward of a prefill has to be given: nothing, but for families with their state on
    their modules, which get a fresh cache (they do not return the one that they make) and forget the last
    prompt."""
    if model.config.model_type not in STATE_ON_MODULES:
        return None
    blocks: list[Any] = [module for module in model.modules() if hasattr(module, "conv1d_state")]
    for block in blocks:
        block.conv1d_state = None  # else a one-token prompt passes for a decoding step of the last prompt
    return DynamicCache(config=model.config)


def can_select(model: PreTrainedModel, state: Any) -> bool:
    """Whether `select_row` and `copy_state` are exact for this state."""
    return obstacle(model, state) is None


def obstacle(model: PreTrainedModel, state: Any) -> str | None:
    """Why one row cannot be cut out of this state; None for a `DynamicCache` of transformers' own kinds of
    layers. Subclasses and layers defined beside a model may hold tensors that reordering does not reach."""
    if model.config.model_type in STATE_ON_MODULES:
        return "keeps its state on its modules"
    if type(state) is not DynamicCache:
        return f"returns a {type(state).__name__} of its own"
    foreign = [type(layer).__name__ for layer in state.layers if type(layer).__module__ != kinds.__name__]
    return f"keeps layers of its own ({foreign[0]})" if foreign else None


def select_row(state: DynamicCache, row: int, device: torch.device) -> DynamicCache:
    """A cache that holds one row of `state`, in storage of its own, so that the batch's can be freed.

    `state` is left as it was: `reorder_cache` rebinds the tensors of the layers it is called on (here
    shallow copies) to what `index_select` copies out."""
    cut = _shallow(state)
    rows: Any = torch.tensor([row], device=device)
    cut.reorder_cache(rows)
    return cut


def copy_state(state: DynamicCache) -> DynamicCache:
    """A cache that can be decoded from while `state` stays as it was.

    Convolution and recurrent states are overwritten in place by a decoding step and are cloned; keys and
    values grow by concatenation into new tensors and are shared until then."""
    own = _shallow(state)
    for layer in own.layers:
        if isinstance(layer, kinds.LinearAttentionCacheLayerMixin):
            for states in (layer.conv_states, layer.recurrent_states):
                states.update(
                    {index: tensor.clone() for index, tensor in states.items() if tensor is not None}
                )
    return own


def _shallow(state: DynamicCache) -> DynamicCache:
    """New cache, layer and dictionary objects around the same tensors."""
    own = copy.copy(state)
    own.layers = [copy.copy(layer) for layer in state.layers]
    for layer in own.layers:
        for name, value in vars(layer).items():
            if isinstance(value, dict):
                setattr(layer, name, dict(value))
    return own


def keep_linear_states(cache: DynamicCache, conv: torch.Tensor, recurrent: torch.Tensor) -> None:
    """Leave what Mamba layers remember in their cache: conv [layers, rows, channels, width], recurrent [layers,
    rows, channels, n].

    A fresh cache takes the layers' parts of the two tensors as they are, where its own update would copy each into
    a tensor of its own, hundreds of blocks between which the heap tears. An older one is overwritten in place."""
    layers: list[Any] = cache.layers
    for layer, conv_state, recurrent_state in zip(layers, conv, recurrent, strict=True):
        if layer.has_previous_state[0]:
            layer.update_conv_state(conv_state, conv_kernel_size=conv.shape[-1])
            layer.update_recurrent_state(recurrent_state)
            continue
        layer.dtype, layer.device = conv.dtype, conv.device
        layer.conv_kernel_size[0] = conv.shape[-1]
        layer.conv_states[0], layer.is_conv_states_initialized[0] = conv_state, True
        layer.recurrent_states[0], layer.is_recurrent_states_initialized[0] = recurrent_state, True
        layer.has_previous_state[0] = True
