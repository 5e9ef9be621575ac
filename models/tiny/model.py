"""A new embedded model: a small Mamba-1 in Hugging Face format, initialised so that binding is learned in minutes.

Mamba's own initialisation (A = -1..-16, small B and C, short steps) forgets a fact before the question comes, and in
our time never learned to bind a name to its value. Ours departs from it: a slow A, long steps, B and C four times as
large, and C a copy of B, so that key and query start as the same projection and like matches like at step 0. Four
times holds for a state of 16; for another it is such that C and B multiply to as much at step 0 (a state of 4 with
four times had not bound after 1,000 steps, with eight it had after 500).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from transformers import MambaConfig, MambaForCausalLM

DECAY = 0.1
STEP_RANGE = (0.01, 0.5)
MEMORY_SCALE = 4.0  # for a state of 16


def new_model(
    vocab_size: int, *, hidden: int = 128, layers: int = 3, state: int = 16, seed: int = 0, end: int = 0
) -> MambaForCausalLM:
    """A freshly initialised reader; the same seed gives the same weights."""
    config = MambaConfig(
        vocab_size=vocab_size, hidden_size=hidden, num_hidden_layers=layers, state_size=state, expand=2,
        conv_kernel=4, time_step_rank=max(8, hidden // 16), tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=end, pad_token_id=end,
    )  # fmt: skip
    model = MambaForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.backbone.embeddings.weight.normal_(0.0, hidden**-0.5, generator=generator)
        for block in model.backbone.layers:
            _initialise_mixer(block.mixer, generator)
    return model


def _initialise_mixer(mixer: Any, generator: torch.Generator) -> None:
    rank, state = mixer.time_step_rank, mixer.ssm_state_size
    for linear in (mixer.in_proj, mixer.x_proj, mixer.out_proj):
        bound = linear.in_features**-0.5
        linear.weight.uniform_(-bound, bound, generator=generator)
    mixer.dt_proj.weight.uniform_(-(rank**-0.5), rank**-0.5, generator=generator)
    bound = mixer.conv_kernel_size**-0.5
    mixer.conv1d.weight.uniform_(-bound, bound, generator=generator)
    mixer.conv1d.bias.zero_()
    keys, queries = slice(rank, rank + state), slice(rank + state, rank + 2 * state)
    mixer.x_proj.weight[keys] *= MEMORY_SCALE * math.sqrt(16 / state)
    mixer.x_proj.weight[queries] = mixer.x_proj.weight[keys]
    mixer.A_log.fill_(math.log(DECAY))
    mixer.D.fill_(1.0)
    low, high = (math.log(bound) for bound in STEP_RANGE)
    steps = torch.exp(torch.empty_like(mixer.dt_proj.bias).uniform_(low, high, generator=generator))
    mixer.dt_proj.bias.copy_(steps + torch.log(-torch.expm1(-steps)))  # the inverse of softplus
