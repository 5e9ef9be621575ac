"""Products of bfloat16 numbers against torch's rounding and float64, and whole models of bfloat16 read with them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from mamba_pairs import FAMILIES, build, caches_agree, close, draw
from numba import njit

from models import mamba_prefill
from models.amx_product import AMX
from models.bfloat_words import PAIRED, add_products, narrow, operand
from models.cpu_mamba import attach
from models.tile_product import PANEL, SPARE, in_registers, product
from models.vector_math import LANES, lanes, load, operation, store

RANDOM = np.random.default_rng(0)
NOTHING = np.empty(0, np.float32)
SIZES: dict[str, Any] = {"hidden_size": 24, "num_hidden_layers": 3, "time_step_rank": 4}


def numbers(*shape: int) -> np.ndarray:
    return (RANDOM.standard_normal(shape) * 10.0 ** RANDOM.integers(-20, 20, shape)).astype(np.float32)


def words(values: np.ndarray) -> np.ndarray:
    return torch.from_numpy(values).bfloat16().view(torch.int32).numpy()


@pytest.mark.parametrize("width", [2, 8, 14, 16, 18, 32, 48, 64, 100])
@pytest.mark.parametrize("in_place", [False, True])
def test_numbers_are_rounded_as_torch_rounds_them(width, in_place):
    source = numbers(50, width + -width % LANES)
    source[0, :2] = 1.00390625, 1.01171875  # halfway between two: to the even one, down and up
    expected = words(np.ascontiguousarray(source[:, :width]))
    target = source if in_place else np.full_like(source, np.nan)
    narrow(50, width, source, target)
    whole = (width + 2 * LANES - 1) // (2 * LANES) * LANES
    assert np.array_equal(target.view(np.int32)[:, : width // 2], expected)
    assert not target.view(np.int32)[:, width // 2 : whole].any()


def test_numbers_that_are_none_stay_so():
    source = np.zeros((1, LANES), np.float32)
    source[0, :4] = np.nan, np.inf, -np.inf, -np.nan
    narrow(1, 4, source, source)
    back = torch.from_numpy(source[:, :2].copy()).view(torch.bfloat16)[0].tolist()
    assert str(back) == "[nan, inf, -inf, nan]"


@njit
def as_the_kernel_does(x, weight, y, panel, tokens, work, add):
    product(operand(weight, tokens, x, work), weight, NOTHING, y, panel, tokens, add)


@njit
def without_tiles(x, weight, y, panel, tokens, work, add):
    registers(operand(weight, tokens, x, work), weight, y, panel, tokens, add)


registers = njit(in_registers)


@pytest.mark.parametrize("multiply", [as_the_kernel_does, without_tiles] if AMX else [as_the_kernel_does])
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize(
    ("tokens", "inputs", "outputs"),
    [(1, 2, 1), (7, 48, 40), (13, 600, 70), (6, 34, 256), (33, 1100, 33), (64, 32, 17)],
)
def test_products_are_those_of_the_rounded_numbers(tokens, inputs, outputs, add, multiply):
    rows = tokens + SPARE
    x = RANDOM.standard_normal((rows, inputs + -inputs % LANES)).astype(np.float32)
    weight = torch.randn(outputs, inputs).bfloat16()
    y = RANDOM.standard_normal((rows + 1, outputs + -outputs % LANES)).astype(np.float32)
    panel = np.full((PANEL, LANES), np.nan, np.float32)
    work = np.full((rows, inputs + -inputs % (2 * LANES)), np.nan, np.float32)
    exact = torch.from_numpy(x[:tokens, :inputs]).bfloat16().double() @ weight.double().t()
    exact += torch.from_numpy(y[:tokens, :outputs]) if add else 0.0
    below = y[rows:].copy()
    multiply(x, weight.view(torch.int32).numpy(), y, panel, tokens, work, add)
    assert np.array_equal(y[rows:], below)
    assert np.abs(y[:tokens, :outputs] - exact.numpy()).max() <= 1e-6 * exact.abs().max().item()


@pytest.mark.parametrize("paired", [False, True] if PAIRED else [False])
def test_both_numbers_of_every_word_are_multiplied_with_and_without_the_instruction(paired):
    @operation
    def dot(typing_context, total, left, right):
        def generate(context, builder, signature, arguments):
            return add_products(builder, *arguments, paired)

        return lanes(total, left, right), generate

    @njit
    def run(total, left, right):
        store(total, (0,), dot(load(total, (0,)), load(left, (0,)), load(right, (0,))))

    left, right = (RANDOM.standard_normal(2 * LANES).astype(np.float32) for _ in range(2))
    total = RANDOM.standard_normal(LANES).astype(np.float32)
    a, b = (torch.from_numpy(values).bfloat16().double() for values in (left, right))
    exact = total + (a * b).view(LANES, 2).sum(1).numpy()
    run(total, words(left).view(np.float32), words(right).view(np.float32))
    assert np.abs(total - exact).max() <= 1e-6 * np.abs(exact).max()


def rounded(model: Any) -> Any:
    """The same model in float32, its weights and what its linear layers are given rounded to bfloat16."""
    twin = copy.deepcopy(model).bfloat16().float()

    def round_inputs(module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return inputs[0].bfloat16().float(), *inputs[1:]

    for module in twin.backbone.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(round_inputs)
    return twin


@torch.inference_mode()
@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("shape", [(1, 40), (3, 11)])
def test_a_model_of_bfloat16_gives_what_rounded_products_give(family, shape, monkeypatch):
    reference = build(family, **SIZES)
    theirs = copy.deepcopy(reference).bfloat16()
    ours = copy.deepcopy(theirs)
    attach(ours)
    monkeypatch.setattr(mamba_prefill, "TILE", 8)
    ids = draw(*shape)
    expected = rounded(reference)(ids, use_cache=True)
    given, other = ours(ids, use_cache=True), theirs(ids, use_cache=True)
    # Numbers that are near a half go to the other side now and then; transformers, which rounds everything, is
    # twice to four times as far away.
    assert close(given.logits, expected.logits, 0.008)
    assert caches_agree(given.cache_params, expected.cache_params, 0.008)
    assert given.logits.dtype == other.logits.dtype
    for mine, its in zip(given.cache_params.layers, other.cache_params.layers, strict=True):
        assert mine.conv_states[0].dtype == its.conv_states[0].dtype
        assert mine.dtype == its.dtype


@torch.inference_mode()
@pytest.mark.parametrize("family", list(FAMILIES))
def test_it_is_nearer_to_the_same_weights_in_float32_than_transformers_is(family):
    theirs = build(family, **SIZES).bfloat16()
    ours, wide = copy.deepcopy(theirs), copy.deepcopy(theirs).float()
    attach(ours)
    ids = draw(4, 50)
    exact = wide(ids).logits
    assert (ours(ids).logits - exact).norm() < (theirs(ids).logits - exact).norm()


@torch.inference_mode()
def test_decoding_goes_on_from_what_was_read():
    ours = build("mamba", **SIZES).bfloat16()
    attach(ours)
    ids = draw(1, 30)
    whole = ours(ids, use_cache=True).logits
    start = ours(ids[:, :29], use_cache=True)
    step = ours(ids[:, 29:], cache_params=start.cache_params, use_cache=True)
    assert close(step.logits[:, -1], whole[:, -1], 0.02)
    parts = ours(ids[:, 20:], cache_params=ours(ids[:, :20], use_cache=True).cache_params, use_cache=True)
    assert close(parts.logits, whole[:, 20:], 0.02)


def rates_in_float32(model: Any) -> None:
    for block in model.backbone.layers:
        block.mixer.A_log.data = block.mixer.A_log.data.float()


@torch.inference_mode()
@pytest.mark.parametrize(
    ("change", "sizes"),
    [(rates_in_float32, {}), (torch.nn.Module.half, {}), (lambda _: None, {"time_step_rank": 3})],
    ids=["mixed", "float16", "odd rank"],
)
def test_what_the_kernel_does_not_cover_runs_through_the_modules(change, sizes, monkeypatch):
    theirs = build("mamba", **{**SIZES, **sizes}).bfloat16()
    change(theirs)
    ours = copy.deepcopy(theirs)
    attach(ours)
    monkeypatch.setattr(mamba_prefill, "read", None)
    ids = draw(2, 9)
    assert close(ours(ids).logits, theirs(ids).logits, 0.03)


@torch.inference_mode()
def test_weights_need_not_be_contiguous_or_begin_at_a_whole_word():
    theirs = build("mamba", **SIZES).bfloat16()
    ours = copy.deepcopy(theirs)
    attach(ours)
    expected = ours(draw(2, 9)).logits
    for block in ours.backbone.layers:
        for owner in (block.norm, block.mixer.x_proj, block.mixer.out_proj):
            weight = owner.weight.detach()
            shifted = torch.empty(weight.numel() + 1, dtype=weight.dtype)[1:].view(weight.shape)
            owner.weight.data = shifted.copy_(weight)
        block.norm.weight.data = torch.stack([block.norm.weight.detach()] * 2, 1)[:, 0]
    assert torch.equal(ours(draw(2, 9)).logits, expected)
