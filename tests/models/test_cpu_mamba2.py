"""Mamba-2 mixers with our scan against themselves as transformers runs them."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import mamba_pairs
import pytest
import torch
from transformers import (
    BambaConfig,
    BambaForCausalLM,
    FalconH1Config,
    FalconH1ForCausalLM,
    Mamba2Config,
    Mamba2ForCausalLM,
    Zamba2Config,
    Zamba2ForCausalLM,
)

from models import cpu_mamba2
from models.cpu_mamba2 import attach, chunk_scan

close = partial(mamba_pairs.close, tolerance=1e-5)
TOKENS = {"vocab_size": 50, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "hidden_size": 32}
MAMBA = {"mamba_d_state": 8, "mamba_d_head": 16, "mamba_n_heads": 4, "mamba_n_groups": 2, "mamba_expand": 2}
HEADS = {"num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 48, "num_hidden_layers": 2}


def build(family: str, **settings: Any) -> Any:
    """A small random model."""
    kinds: dict[str, tuple[Any, Any, dict[str, Any]]] = {
        "mamba2": (
            Mamba2Config, Mamba2ForCausalLM,
            {"num_hidden_layers": 2, "state_size": 8, "head_dim": 16, "num_heads": 4, "n_groups": 2},
        ),
        "bamba": (BambaConfig, BambaForCausalLM, {**MAMBA, **HEADS, "attn_layer_indices": [1]}),
        "falcon_h1": (FalconH1Config, FalconH1ForCausalLM, {**MAMBA, **HEADS, "mamba_d_ssm": 64}),
        "zamba2": (
            Zamba2Config, Zamba2ForCausalLM,
            {**HEADS, "mamba_d_state": 8, "mamba_headdim": 16, "n_mamba_heads": 4, "mamba_ngroups": 2,
             "num_mem_blocks": 1, "layers_block_type": ["mamba", "hybrid"], "attention_head_dim": 32},
        ),
    }  # fmt: skip
    config, model, sizes = kinds[family]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = model(config(**{**TOKENS, **sizes, **settings})).eval()
        with torch.no_grad():
            for name, weight in made.named_parameters():
                if not name.endswith(("A_log", "dt_bias")):
                    weight.add_(0.1 * torch.randn_like(weight))
    return made


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths that our scan runs over."""
    seen: list[int] = []
    share = cpu_mamba2.share

    def record(kernel: Any, tasks: int, workers: int, *arguments: Any) -> None:
        seen.append(arguments[0].shape[1])
        share(kernel, tasks, workers, *arguments)

    monkeypatch.setattr(cpu_mamba2, "share", record)
    return seen


def draw(*shape: int) -> torch.Tensor:
    return torch.randint(3, 50, shape, generator=torch.Generator().manual_seed(0))


def recurrent_states(output: Any) -> list[torch.Tensor]:
    cache = getattr(output, "cache_params", None) or output.past_key_values
    layers = [layer for layer in cache.layers if hasattr(layer, "recurrent_states")]
    return [layer.recurrent_states[0] for layer in layers if layer.recurrent_states[0] is not None]


@torch.inference_mode()
@pytest.mark.parametrize("family", ["mamba2", "bamba", "falcon_h1", "zamba2"])
@pytest.mark.parametrize("shape", [(1, 3), (2, 70)])
def test_logits_states_and_a_step_are_those_of_transformers(family, shape, calls):
    theirs = build(family)
    ours = copy.deepcopy(theirs)
    layers = attach(ours)
    assert layers >= 1
    ids = draw(*shape)
    expected, given = theirs(ids, use_cache=True), ours(ids, use_cache=True)
    assert calls == [shape[1]] * layers
    assert close(given.logits, expected.logits)
    assert torch.equal(given.logits.argmax(-1), expected.logits.argmax(-1))
    assert len(recurrent_states(given)) == layers
    for one, two in zip(recurrent_states(given), recurrent_states(expected), strict=True):
        assert close(one, two)


@torch.inference_mode()
def test_greedy_answers_are_those_of_transformers():
    theirs = build("mamba2")
    ours = copy.deepcopy(theirs)
    attach(ours)
    ids = draw(2, 40)
    options = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 12, "do_sample": False}
    assert torch.equal(ours.generate(ids, **options), theirs.generate(ids, **options))


def inputs(length: int) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(2)
    return {
        "x": torch.randn(2, length, 4, 32, generator=random),
        "delta": torch.rand(2, length, 4, generator=random),
        "A": -torch.rand(4, generator=random) * 4,
        "B": torch.randn(2, length, 2, 8, generator=random),
        "C": torch.randn(2, length, 2, 8, generator=random),
        "D": torch.randn(4, generator=random),
        "state": torch.randn(2, 4, 32, 8, generator=random),
    }


def scan_in_float64(x, delta, A, B, C, D, state):
    """The recurrence as it is written, one step at a time."""
    rows = []
    B, C = (v.repeat_interleave(x.shape[2] // v.shape[2], dim=2) for v in (B, C))
    for t in range(x.shape[1]):
        decay = torch.exp(delta[:, t] * A)[..., None, None]
        state = decay * state + (delta[:, t, :, None] * x[:, t])[..., None] * B[:, t, :, None]
        rows.append((state * C[:, t, :, None]).sum(-1) + D[:, None] * x[:, t])
    return torch.stack(rows, 1), state


@pytest.mark.parametrize("length", [1, 31, 32, 65])
def test_the_scan_matches_a_float64_loop_from_a_state(length):
    given = inputs(length)
    kept = given["state"].clone()
    y, last = chunk_scan(**given)
    expected, end = scan_in_float64(**{name: value.double() for name, value in given.items()})
    assert close(y.double(), expected, tolerance=2e-6)
    assert close(last.double(), end, tolerance=2e-6)
    assert torch.equal(given["state"], kept)


def test_several_workers_give_what_one_gives(monkeypatch):
    given = inputs(40)
    alone = chunk_scan(**given)
    monkeypatch.setattr(cpu_mamba2, "workers_for", lambda tasks, updates: 3)
    assert all(torch.equal(one, two) for one, two in zip(chunk_scan(**given), alone, strict=True))


def test_training_and_odd_shapes_keep_the_scan_of_transformers(calls):
    ours = build("mamba2")
    attach(ours)
    ours(draw(1, 5)).logits.sum().backward()
    odd = build("mamba2", head_dim=8, num_heads=8)
    attach(odd)
    with torch.inference_mode():
        odd(draw(1, 5))
        assert not calls
        ours(draw(1, 5))
    assert calls
    assert attach(torch.nn.Linear(2, 2)) == 0
    assert attach(build("mamba2").to("meta")) == 0
