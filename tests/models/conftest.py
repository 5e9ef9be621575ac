"""Readers around the tiny random models of `families.py` and a word-level tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from families import FAMILIES, READ_AGAIN, VOCABULARY, random_model
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from models.engine import Engine
from models.specs import ReaderSpec

WORDS = ["<unk>", "<eos>", "<bos>", "<user>", "<reply>", "\n", "Error", "."]
WORDS += [f"w{number}" for number in range(VOCABULARY - len(WORDS))]


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
