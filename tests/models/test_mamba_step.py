"""Single tokens through mixers, in place, against transformers and against the scan of any length."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import mamba_pairs
import pytest
import torch
from mamba_pairs import FAMILIES, build, draw
from torch import Tensor
from transformers import DynamicCache

from models import mamba_step
from models.cpu_mamba import attach
from models.mamba_step import compiled, moves_on, run
from models.selective_scan import selective_scan

close = partial(mamba_pairs.close, tolerance=1e-5)
caches_agree = partial(mamba_pairs.caches_agree, tolerance=1e-5)
SIZES: dict[str, Any] = {"hidden_size": 24, "state_size": 16}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One for every kernel that is run."""
    seen: list[int] = []

    def record(*arguments: Any) -> None:
        seen.append(1)
        run(*arguments)

    monkeypatch.setattr(mamba_step, "run", record)
    return seen


@torch.inference_mode()
@pytest.mark.parametrize(("kept", "given"), [(1, 3), (3, 1)])
def test_a_cache_of_other_rows_than_the_step_is_an_error(kept, given):
    ours = attached(build("mamba", **SIZES))
    cache = ours(draw(kept, 5), use_cache=True).cache_params
    with pytest.raises((ValueError, RuntimeError)):
        ours(draw(given, 1), cache_params=cache, use_cache=True)


def attached(model: Any) -> Any:
    ours = copy.deepcopy(model)
    attach(ours)
    return ours


@torch.no_grad()
@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize(
    "settings", [{}, {"state_size": 32}, {"use_conv_bias": False}, {"use_bias": True}, {"conv_kernel": 2}]
)
@pytest.mark.parametrize("rows", [1, 3])
def test_steps_after_a_prompt_are_those_of_transformers(family, settings, rows, runs):
    theirs = build(family, **SIZES | settings)
    ours, ids = attached(theirs), draw(rows, 13)
    expected, given = theirs(ids[:, :7], use_cache=True), ours(ids[:, :7], use_cache=True)
    assert not runs
    for t in range(7, 13):
        step = ids[:, t : t + 1]
        expected = theirs(step, cache_params=expected.cache_params, use_cache=True)
        given = ours(step, cache_params=given.cache_params, use_cache=True)
        assert close(given.logits, expected.logits)
    assert caches_agree(given.cache_params, expected.cache_params)
    assert len(runs) == 2 * 2 * 6  # two kernels in two layers


@torch.inference_mode()
def test_states_move_on_where_they_are():
    ours = attached(build("mamba", **SIZES))
    cache: Any = ours(draw(2, 5), use_cache=True).cache_params
    before = [(layer.conv_states[0], layer.recurrent_states[0]) for layer in cache.layers]
    old = [state.clone() for states in before for state in states]
    ours(draw(2, 1), cache_params=cache, use_cache=True)
    after = [(layer.conv_states[0], layer.recurrent_states[0]) for layer in cache.layers]
    assert all(
        a is b for own, states in zip(after, before, strict=True) for a, b in zip(own, states, strict=True)
    )
    assert not any(
        torch.equal(a, b) for a, b in zip((s for states in before for s in states), old, strict=True)
    )


@torch.inference_mode()
def test_bfloat16_steps_are_those_of_the_scan_of_any_length(runs, monkeypatch):
    ours = attached(build("falcon_mamba", **SIZES).bfloat16())
    ids = draw(2, 9)
    cache = ours(ids, use_cache=True).cache_params
    other = copy.deepcopy(cache)
    given = ours(ids[:, :1], cache_params=cache, use_cache=True).logits
    assert runs
    monkeypatch.setattr("models.cpu_mamba.moves_on", lambda *_: False)
    expected = ours(ids[:, :1], cache_params=other, use_cache=True).logits
    assert mamba_pairs.close(given, expected, tolerance=1e-2)
    assert mamba_pairs.caches_agree(cache, other, tolerance=1e-2)
    assert [cache.get_conv_state(0).dtype, cache.get_recurrent_state(0).dtype] == [
        torch.bfloat16,
        torch.float32,
    ]


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_a_step_is_that_of_the_scan_of_any_length(scale):
    generator = torch.Generator().manual_seed(0)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * scale

    x, dt, z = (numbers(3, 1, 48) for _ in range(3))
    B, C, state, A_log = numbers(3, 1, 16), numbers(3, 1, 16), numbers(3, 48, 16), torch.rand(48, 16)
    D, bias = numbers(48), numbers(48)
    expected, last = selective_scan(x, dt, -A_log.exp(), B, C, D, z, bias, state)
    y = torch.empty(3, 48)
    run(compiled().scan, *(v[:, 0] for v in (x, dt, B, C, z)), A_log, D, bias, state, y)
    assert mamba_pairs.close(y, expected[:, 0], tolerance=2e-6)
    assert mamba_pairs.close(state, last, tolerance=2e-6)


@torch.no_grad()
def test_all_else_goes_through_the_scan_of_any_length():
    ours = attached(build("mamba", **SIZES))
    mixer, hidden = ours.backbone.layers[0].mixer, torch.randn(2, 1, 24)
    cache: Any = ours(draw(2, 5), use_cache=True).cache_params
    assert moves_on(mixer, hidden, cache, None)
    assert not moves_on(mixer, torch.randn(2, 2, 24), cache, None)
    assert not moves_on(mixer, hidden, cache, torch.ones(2, 6))
    assert not moves_on(mixer, hidden, None, None)
    assert not moves_on(mixer, hidden, DynamicCache(config=ours.config), None)
    with torch.enable_grad():
        assert not moves_on(mixer, hidden, cache, None)
    recording, torn = copy.deepcopy(cache), copy.deepcopy(cache)
    recording.layers[0].activate_past_recording()
    assert not moves_on(mixer, hidden, recording, None)
    for states in (torn.layers[0].recurrent_states, torn.layers[0].conv_states):
        whole = states[0]
        changes = [whole[:1], whole[..., 1:].contiguous()]
        if states is torn.layers[0].recurrent_states:
            changes += [whole.transpose(1, 2).contiguous().transpose(1, 2), whole.double(), None]
        for changed in changes:
            states[0] = changed
            assert not moves_on(mixer, hidden, torn, None)
        states[0] = whole
    assert moves_on(mixer, hidden, torn, None)
    for settings in ({"state_size": 8}, {"hidden_size": 20}):
        other = attached(build("mamba", **SIZES | settings))
        cache = other(draw(2, 5), use_cache=True).cache_params
        assert not moves_on(other.backbone.layers[0].mixer, hidden, cache, None)
