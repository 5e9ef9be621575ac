"""Small random Mamba and Falcon-Mamba models, and how near two runs of one come: for the tests of the CPU forwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import FalconMambaConfig, FalconMambaForCausalLM, MambaConfig, MambaForCausalLM

VOCABULARY = 60
FAMILIES = {
    "mamba": (MambaConfig, MambaForCausalLM),
    "falcon_mamba": (FalconMambaConfig, FalconMambaForCausalLM),
}


def build(family: str, **settings: Any) -> Any:
    """A random model of two layers; 2 x 20 channels are no multiple of sixteen."""
    config, model = FAMILIES[family]
    sizes: dict[str, Any] = {"hidden_size": 20, "num_hidden_layers": 2, "state_size": 8, "time_step_rank": 3}
    tokens = {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = model(config(**{**sizes, **tokens, **settings})).eval()
        with torch.no_grad():
            for name, weight in made.named_parameters():
                if not name.endswith(("A_log", "dt_proj.bias")):
                    weight.add_(0.2 * torch.randn_like(weight))
    return made


def draw(*shape: int) -> torch.Tensor:
    """Token ids, none of them special."""
    return torch.randint(3, VOCABULARY, shape, generator=torch.Generator().manual_seed(0))


def close(value: torch.Tensor, exact: torch.Tensor, tolerance: float = 3e-5) -> bool:
    """Within `tolerance` of the largest exact value."""
    assert value.shape == exact.shape
    return bool((value - exact).abs().max() <= tolerance * exact.abs().max())


def read_in_parts(model: Any, ids: torch.Tensor, cuts: Sequence[int]) -> tuple[torch.Tensor, Any]:
    """The logits of all parts, one behind the other, and the cache after the last."""
    cache, parts = None, []
    for start, end in zip((0, *cuts), (*cuts, ids.shape[1]), strict=True):
        part = model(ids[:, start:end], cache_params=cache, use_cache=True)
        cache, _ = part.cache_params, parts.append(part.logits)
    return torch.cat(parts, 1), cache


def caches_agree(ours: Any, theirs: Any, tolerance: float) -> bool:
    """Every layer's convolution window and recurrent state."""
    layers = range(len(theirs.layers))
    convolution = [close(ours.get_conv_state(i), theirs.get_conv_state(i), tolerance) for i in layers]
    recurrent = [close(ours.get_recurrent_state(i), theirs.get_recurrent_state(i), tolerance) for i in layers]
    return all(convolution + recurrent)
