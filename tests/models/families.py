"""Tiny random models of every family that the engine is proved on, and the table of how each one's state is
taken over: ``PYTHONPATH=. python tests/models/families.py`` prints it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

from models.cache import obstacle, state_argument

VOCABULARY = 64
EOS = 1

ATTENTION = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64}
MAMBA2 = {"mamba_d_state": 8, "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_chunk_size": 16}
EXPERTS = {"num_experts_per_tok": 1}
DELTA = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
SIZES: dict[str, dict[str, Any]] = {
    "Mamba": {"state_size": 8, "time_step_rank": 4},
    "FalconMamba": {"state_size": 8, "time_step_rank": 4},
    "Mamba2": {"state_size": 8, "num_heads": 8, "head_dim": 8, "n_groups": 2, "chunk_size": 16},
    "RecurrentGemma": {
        **ATTENTION,
        "block_types": ["recurrent", "attention"],
        "attention_window_size": 16,
    },
    "Rwkv": {"attention_hidden_size": 32, "intermediate_size": 64, "context_length": 256},
    "xLSTM": {  # widths are rounded up to 64, and not everywhere alike
        "hidden_size": 64,
        "qk_dim_factor": 1.0,
        "num_heads": 2,
        "chunk_size": 16,
        "autocast_kernel_dtype": "float32",
    },
    "FalconH1": {
        **ATTENTION,
        **MAMBA2,
        "mamba_d_ssm": 64,
        "head_dim": 8,
        "max_position_embeddings": 256,
    },
    "Zamba2": {
        **ATTENTION,
        "layers_block_type": ["mamba", "hybrid"],
        "mamba_d_state": 8,
        "n_mamba_heads": 8,
        "mamba_headdim": 8,
        "mamba_ngroups": 1,
        "chunk_size": 16,
        "attention_head_dim": 16,
        "num_mem_blocks": 1,
        "use_mem_rope": True,
        "max_position_embeddings": 256,
    },
    "Jamba": {
        **ATTENTION,
        **EXPERTS,
        "mamba_d_state": 8,
        "mamba_dt_rank": 4,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "num_experts": 2,
        "max_position_embeddings": 256,
    },
    "Bamba": {  # the family that counts positions from 0 unless it is told
        **ATTENTION,
        **MAMBA2,
        "attn_layer_indices": [1],
    },
    "GraniteMoeHybrid": {
        **ATTENTION,
        **MAMBA2,
        **EXPERTS,
        "layer_types": ["mamba", "attention"],
        "num_local_experts": 2,
        "shared_intermediate_size": 32,
        "max_position_embeddings": 256,
    },
    "NemotronH": {
        **ATTENTION,
        "layers_block_type": ["mamba", "attention"],
        "ssm_state_size": 8,
        "mamba_num_heads": 8,
        "mamba_head_dim": 8,
        "n_groups": 2,
        "chunk_size": 16,
        "head_dim": 8,
        "max_position_embeddings": 256,
    },
    "Lfm2": {
        **ATTENTION,
        "layer_types": ["conv", "full_attention"],
        "block_ff_dim": 64,
        "block_multiple_of": 8,
        "max_position_embeddings": 256,
    },
    "Qwen3Next": {
        **ATTENTION,
        **EXPERTS,
        **DELTA,
        "head_dim": 16,
        "num_experts": 2,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
        "max_position_embeddings": 256,
    },
    "MiniMax": {
        **ATTENTION,
        **EXPERTS,
        "layer_types": ["linear_attention", "full_attention"],
        "head_dim": 8,
        "num_local_experts": 2,
        "block_size": 16,
        "max_position_embeddings": 256,
    },
    "Llama": {**ATTENTION, "max_position_embeddings": 256},
    "Mistral": {**ATTENTION, "sliding_window": 16, "head_dim": 8, "max_position_embeddings": 256},
}
FAMILIES = tuple(SIZES)
READ_AGAIN = ("RecurrentGemma", "Rwkv", "xLSTM", "MiniMax")
UNPLACED = ("Jamba", "GraniteMoeHybrid", "NemotronH")  # hybrids whose attention knows no positions
WINDOWS = {family: size.get("max_position_embeddings") for family, size in SIZES.items()}
WINDOWS |= {"Bamba": 262_144} | dict.fromkeys(UNPLACED)


@cache
def random_model(family: str, **changes: Any) -> PreTrainedModel:
    """A model of the family with two layers of 32 channels, spread wide enough that its answers differ; `changes`
    are of its configuration."""
    ids = {"vocab_size": VOCABULARY, "eos_token_id": EOS, "bos_token_id": 2, "pad_token_id": 0}
    sizes = {"hidden_size": 32, "num_hidden_layers": 2} | SIZES[family] | changes
    config = getattr(transformers, f"{family}Config")(**ids, **sizes)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = getattr(transformers, f"{family}ForCausalLM")(config)
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.data += 0.3 * torch.randn_like(parameter)
    return model.eval()


@torch.inference_mode()
def read(model: PreTrainedModel, rows: list[list[int]]) -> Any:
    """The state that the model itself returns after the rows."""
    output = model(input_ids=torch.tensor(rows), use_cache=True)
    return getattr(output, state_argument(model), None)


def table() -> str:
    """A row for each family: whether a row is cut out of its batch's state or read again, and why."""
    lines = ["| family | a batch's row is | because transformers |", "|---|---|---|"]
    for family in FAMILIES:
        model = random_model(family)
        why = obstacle(model, read(model, [[7, 8, 9]] * 2))
        way = ("read again", why) if why else ("cut out", "returns a `DynamicCache` of its own layers")
        lines.append(f"| {family} | {' | '.join(way)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
