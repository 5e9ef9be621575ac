"""RecurrentGemma with our recurrence against itself as transformers runs it."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import mamba_pairs
import pytest
import torch
from transformers import DynamicCache, RecurrentGemmaConfig, RecurrentGemmaForCausalLM
from transformers.models.recurrent_gemma.modeling_recurrent_gemma import RecurrentGemmaRglru

from models import cpu_rglru
from models.cpu_rglru import attach

close = partial(mamba_pairs.close, tolerance=2e-6)


def build(width: int = 32) -> Any:
    """Two recurrent blocks and one of attention, random."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = RecurrentGemmaConfig(
            vocab_size=50, hidden_size=width, lru_width=width, intermediate_size=48, num_hidden_layers=3,
            num_attention_heads=2, num_key_value_heads=1, head_dim=8, attention_window_size=16,
            pad_token_id=0, bos_token_id=1, eos_token_id=2,
        )  # fmt: skip
        model = RecurrentGemmaForCausalLM(config).eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.1 * torch.randn_like(weight))
    return model


def draw(*shape: int) -> torch.Tensor:
    return torch.randint(3, 50, shape, generator=torch.Generator().manual_seed(0))


def states(model: Any) -> list[torch.Tensor]:
    return [m.recurrent_states for m in model.modules() if isinstance(m, RecurrentGemmaRglru)]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths that our recurrence runs over."""
    seen: list[int] = []
    share = cpu_rglru.share

    def record(kernel: Any, tasks: int, workers: int, *arguments: Any) -> None:
        seen.append(arguments[0].shape[1])
        share(kernel, tasks, workers, *arguments)

    monkeypatch.setattr(cpu_rglru, "share", record)
    return seen


@torch.inference_mode()
@pytest.mark.parametrize("shape", [(1, 2), (3, 12), (2, 40)])
def test_logits_states_and_decoding_are_those_of_transformers(shape, calls):
    theirs = build()
    ours = copy.deepcopy(theirs)
    assert attach(ours) == 2
    results = []
    for model in (theirs, ours):
        cache: Any = DynamicCache(config=model.config)
        ids, logits = draw(*shape), []
        for position in range(shape[1], shape[1] + 6):
            places = torch.arange(position)[None, -ids.shape[1] :]
            output = model(ids, past_key_values=cache, use_cache=True, position_ids=places)
            logits.append(output.logits[:, -1])
            ids = logits[-1].argmax(-1, keepdim=True)
        results.append((logits, states(model)))
    (expected, expected_states), (given, given_states) = results
    assert calls == [shape[1]] * 2
    assert all(close(one, two) for one, two in zip(given, expected, strict=True))
    assert all(torch.equal(one.argmax(-1), two.argmax(-1)) for one, two in zip(given, expected, strict=True))
    assert all(close(one, two) for one, two in zip(given_states, expected_states, strict=True))


@torch.no_grad()
def test_a_state_is_gone_on_from_and_reset_where_a_document_begins(calls):
    (unit,) = [m for m in build().modules() if isinstance(m, RecurrentGemmaRglru)][:1]
    random = torch.Generator().manual_seed(1)
    x, gate = torch.randn(2, 9, 32, generator=random), torch.rand(2, 9, 32, generator=random)
    reset = torch.zeros(2, 9, 1, dtype=torch.bool)
    reset[0, 4] = True
    before = torch.randn(2, 32, generator=random)
    kept = before.clone()
    expected, last = unit._rnn_scan(x, gate, reset, before)
    attach(unit)
    given, end = unit._rnn_scan(x, gate, reset, before)
    assert calls
    assert close(given, expected)
    assert close(end, last)
    assert torch.equal(before, kept)


def test_training_and_odd_widths_keep_the_loop_of_transformers(calls):
    ours = build()
    attach(ours)
    ours(draw(1, 5)).logits.sum().backward()
    narrow = build(width=24)
    attach(narrow)
    with torch.inference_mode():
        narrow(draw(1, 5))
    assert not calls
    with torch.inference_mode():
        ours(draw(1, 5))
    assert calls
