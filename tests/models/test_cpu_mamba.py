"""Models with our CPU forward attached against the same models as transformers runs them."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import mamba_pairs
import pytest
import torch
from mamba_pairs import FAMILIES, build, draw, read_in_parts
from transformers import DynamicCache

from models.cpu_mamba import attach

close = partial(mamba_pairs.close, tolerance=1e-5)
caches_agree = partial(mamba_pairs.caches_agree, tolerance=1e-5)


@pytest.fixture(params=list(FAMILIES))
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """The model as transformers runs it and a copy with our forward."""
    theirs = build(request.param)
    ours = copy.deepcopy(theirs)
    assert attach(ours) == 2
    return theirs, ours


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 40])
def test_logits_and_cache_after_a_prefill_are_those_of_transformers(pair, length):
    theirs, ours = pair
    ids = draw(3, length)
    expected, given = theirs(ids, use_cache=True), ours(ids, use_cache=True)
    assert close(given.logits, expected.logits)
    assert caches_agree(given.cache_params, expected.cache_params)
    assert close(ours(ids, use_cache=False).logits, expected.logits)


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 9])
def test_single_steps_after_a_prefill_are_those_of_transformers(pair, length):
    theirs, ours = pair
    ids = draw(2, length + 5)
    expected, given = theirs(ids[:, :length], use_cache=True), ours(ids[:, :length], use_cache=True)
    for t in range(length, length + 5):
        step = ids[:, t : t + 1]
        expected = theirs(step, cache_params=expected.cache_params, use_cache=True)
        given = ours(step, cache_params=given.cache_params, use_cache=True)
        assert close(given.logits, expected.logits)
    assert caches_agree(given.cache_params, expected.cache_params)


@torch.no_grad()
def test_greedy_generation_gives_the_tokens_of_transformers(pair):
    theirs, ours = pair
    ids = draw(2, 7)
    options = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 12, "do_sample": False}
    assert torch.equal(ours.generate(ids, **options), theirs.generate(ids, **options))


@torch.no_grad()
@pytest.mark.parametrize("cuts", [(1,), (2, 4), (3, 20), (17, 18, 19), (30,)])
def test_a_prompt_read_in_several_parts_equals_one_pass(pair, cuts):
    _, ours = pair
    ids = draw(2, 33)
    whole = ours(ids, use_cache=True)
    logits, cache = read_in_parts(ours, ids, cuts)
    assert close(logits, whole.logits)
    assert caches_agree(cache, whole.cache_params)


@torch.no_grad()
def test_a_cache_that_was_reset_starts_from_nothing(pair):
    _, ours = pair
    ids = draw(2, 6)
    cache = ours(draw(2, 11), use_cache=True).cache_params
    cache.reset()
    assert torch.equal(ours(ids, cache_params=cache, use_cache=True).logits, ours(ids).logits)


@torch.no_grad()
def test_a_cache_that_records_its_past_keeps_every_input(pair):
    theirs, ours = pair
    ids = draw(2, 9)
    caches = []
    for model in (theirs, ours):
        cache: Any = DynamicCache(config=model.config)
        for layer in cache.layers:
            layer.activate_past_recording()
        model(ids[:, :8], cache_params=cache, use_cache=True)
        caches.append((cache, model(ids[:, 8:], cache_params=cache, use_cache=True).logits))
    (expected, expected_logits), (given, logits) = caches
    assert given.get_conv_state(0).shape[-1] == 9
    assert caches_agree(given, expected)
    assert close(logits, expected_logits)


@torch.no_grad()
def test_left_padding_is_masked_as_transformers_masks_it(pair):
    theirs, ours = pair
    ids, mask = draw(2, 12), torch.ones(2, 12, dtype=torch.long)
    mask[0, :5] = 0
    given = ours(ids, attention_mask=mask).logits
    assert close(given, theirs(ids, attention_mask=mask).logits)
    assert not close(given, ours(ids).logits)


@torch.inference_mode()
def test_rows_of_a_batch_equal_the_rows_alone(pair):
    _, ours = pair
    ids = draw(4, 30)
    together = ours(ids).logits
    for row in range(4):
        assert close(ours(ids[row : row + 1]).logits, together[row : row + 1])


def test_training_gives_every_parameter_the_gradient_that_transformers_gives(pair):
    theirs, ours = pair
    ids = draw(3, 25)
    losses = []
    for model in (theirs, ours):
        model.train()
        loss = model(ids, labels=ids).loss
        loss.backward()
        losses.append(loss.detach())
    assert close(losses[1], losses[0])
    for (name, expected), given in zip(theirs.named_parameters(), ours.parameters(), strict=True):
        assert given.grad is not None, name
        assert close(given.grad, expected.grad), name


def test_gradients_flow_through_a_carried_cache(pair):
    _, ours = pair
    ids = draw(2, 20)

    def gradients(cuts):
        ours.zero_grad()
        cache, total = None, torch.zeros(())
        for start, end in zip((0, *cuts), (*cuts, 20), strict=True):
            out = ours(ids[:, start:end], cache_params=cache, use_cache=True)
            cache, total = out.cache_params, total + out.logits.square().sum()
        total.backward()
        return [p.grad.clone() for p in ours.parameters()]

    for parts, whole in zip(gradients((8,)), gradients(()), strict=True):
        assert close(parts, whole)


@torch.no_grad()
@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("settings", [{"use_conv_bias": False}, {"use_bias": True}, {"conv_kernel": 2}])
def test_other_shapes_of_the_mixer_work_as_well(family, settings):
    theirs = build(family, **settings)
    ours = copy.deepcopy(theirs)
    attach(ours)
    ids = draw(2, 10)
    assert close(ours(ids).logits, theirs(ids).logits)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights_stay_within_their_rounding(pair, dtype):
    _, ours = pair
    ids = draw(2, 20)
    exact = ours(ids).logits
    half = ours.to(dtype)
    given = half(ids, use_cache=True)
    assert close(given.logits.float(), exact, tolerance=0.1)
    assert half(ids[:, :1], cache_params=given.cache_params, use_cache=True).logits.isfinite().all()
    assert given.cache_params.get_recurrent_state(0).dtype == torch.float32
    assert given.cache_params.get_conv_state(0).dtype == dtype


def test_a_copy_of_an_attached_model_runs_on_its_own_weights(pair):
    _, ours = pair
    ids = draw(1, 5)
    before = ours(ids).logits
    other = copy.deepcopy(ours)
    with torch.no_grad():
        for weight in other.parameters():
            weight.zero_()
    assert torch.equal(ours(ids).logits, before)
    assert not torch.equal(other(ids).logits, before)


def test_mixers_that_the_kernels_do_not_cover_are_left_alone():
    assert attach(build("mamba", hidden_act="relu")) == 0
    assert attach(build("mamba").to("meta")) == 0
    assert attach(torch.nn.Linear(2, 2)) == 0
