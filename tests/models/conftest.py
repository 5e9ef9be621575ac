"""Tiny random readers of every family and a word-level tokenizer, made once a session."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from models.engine import Engine
from models.specs import ReaderSpec

VOCABULARY = 64
EOS = 1
WORDS = ["<unk>", "<eos>", "<bos>", "<user>", "<reply>", "\n", "Error", "."]
WORDS += [f"w{number}" for number in range(VOCABULARY - len(WORDS))]

ATTENTION = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64}
SIZES: dict[str, dict[str, Any]] = {
    "Mamba": {"state_size": 8, "time_step_rank": 4},
    "FalconMamba": {"state_size": 8, "time_step_rank": 4},
    "Mamba2": {"state_size": 8, "num_heads": 8, "head_dim": 8, "n_groups": 2, "chunk_size": 16},
    "Llama": {**ATTENTION, "max_position_embeddings": 256},
    "Bamba": {  # a hybrid, and the family that counts positions from 0 unless it is told
        **ATTENTION,
        "attn_layer_indices": [1],
        "mamba_d_state": 8,
        "mamba_n_heads": 8,
        "mamba_d_head": 8,
        "mamba_chunk_size": 16,
    },
    "RecurrentGemma": {
        **ATTENTION,
        "block_types": ["recurrent", "attention"],
        "attention_window_size": 16,
    },
    "Rwkv": {"attention_hidden_size": 32, "intermediate_size": 64, "context_length": 256},
}
FAMILIES = tuple(SIZES)
READ_AGAIN = ("RecurrentGemma", "Rwkv")


@cache
def random_model(family: str) -> PreTrainedModel:
    """A model of the family with two layers of 32 channels, spread wide enough that its answers differ."""
    config = getattr(transformers, f"{family}Config")(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        eos_token_id=EOS,
        bos_token_id=2,
        pad_token_id=0,
        **SIZES[family],
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = getattr(transformers, f"{family}ForCausalLM")(config)
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.data += 0.3 * torch.randn_like(parameter)
    return model.eval()


def word_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, a newline being a word; a start token before plain prompts."""
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, "<unk>"))
    newline = pre_tokenizers.Split("\n", "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(" ", "removed"), newline])
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    tokenizer.add_special_tokens(["<unk>", "<eos>", "<bos>", "<user>", "<reply>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<eos>", bos_token="<bos>"
    )


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """Every family in turn."""
    return request.param


@pytest.fixture(params=[name for name in FAMILIES if name not in READ_AGAIN])
def cut_family(request: pytest.FixtureRequest) -> str:
    """Every family whose state can be cut, in turn."""
    return request.param


@pytest.fixture(name="random_model", scope="session")
def give_random_model() -> Callable[[str], PreTrainedModel]:
    return random_model


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return word_tokenizer()


@pytest.fixture
def reader() -> Callable[..., Engine]:
    """``reader("Mamba")``: a fresh engine around the session's random model of that family."""

    def build(family: str = "Mamba", *, spec: dict[str, Any] | None = None, **options: Any) -> Engine:
        row = ReaderSpec(name=family.lower(), path=family, **(spec or {}))
        return Engine(random_model(family), word_tokenizer(), row, **options)

    return build


@pytest.fixture
def rows() -> Callable[[int, int], list[list[int]]]:
    """``rows(count, length)``: rows of random word ids, the same every time."""

    def draw(count: int, length: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(length)
        return torch.randint(6, VOCABULARY, (count, length), generator=generator).tolist()

    return draw
