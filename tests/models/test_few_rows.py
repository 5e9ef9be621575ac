"""Few rows times a large weight as columns or as a vector, against torch's own product."""

from __future__ import annotations

import copy
import platform
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from mamba_pairs import build, draw
from torch import nn

from models import few_rows
from models.engine import Engine
from models.few_rows import rows_are_slow


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(few_rows, "LARGE", 1000)
    monkeypatch.setattr(few_rows, "rows_are_slow", lambda: True)
    monkeypatch.setattr(few_rows, "LARGE_WORDS", 1000)
    monkeypatch.setattr(few_rows, "AMX", True)
    rows_are_slow.cache_clear()
    yield
    rows_are_slow.cache_clear()


@pytest.mark.parametrize(
    ("cpuinfo", "elsewhere", "slow"),
    [
        ("vendor_id : AuthenticAMD\n", "", True),
        ("vendor_id : GenuineIntel\n", "AMD64 Family 25, AuthenticAMD", False),
        (None, "AMD64 Family 25 Model 33 Stepping 0, AuthenticAMD", True),
        (None, "Intel64 Family 6 Model 143, GenuineIntel", False),
        (None, "", False),
    ],
)
def test_columns_are_for_amds_processors(cpuinfo, elsewhere, slow, tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(few_rows, "CPUS", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "processor", lambda: elsewhere)
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert rows_are_slow() == slow
    assert few_rows.attach(nn.Linear(1024, 1024)) == slow


@pytest.mark.parametrize("shape", [(24,), (1, 24), (1, 1, 24), (3, 1, 24), (2, 4, 24), (3, 5, 24), (0, 24)])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("outputs", [1000, 20])
def test_products_and_gradients_are_those_of_the_layer(shape, bias, outputs, monkeypatch):
    monkeypatch.setattr(few_rows, "LARGE", 400)
    layer = nn.Linear(24, outputs, bias=bias)
    states = torch.randn(shape, generator=torch.Generator().manual_seed(0), requires_grad=True)
    expected = layer(states)
    (slope,) = torch.autograd.grad(expected.square().sum(), states)
    assert few_rows.attach(layer) == 1
    given = layer(states)
    torch.testing.assert_close(given, expected, atol=1e-6, rtol=1e-5)
    assert given.is_contiguous()
    torch.testing.assert_close(
        torch.autograd.grad(given.square().sum(), states)[0], slope, atol=1e-4, rtol=1e-4
    )


@torch.inference_mode()
@pytest.mark.parametrize(
    ("inputs", "outputs", "rows", "as_columns"),
    [(24, 60, 1, True), (24, 60, 8, True), (24, 60, 9, False), (60, 24, 1, False), (60, 24, 2, True)],
)
def test_columns_are_for_few_rows_and_for_one_where_the_weight_is_high(
    inputs, outputs, rows, as_columns, monkeypatch
):
    layer, called = nn.Linear(inputs, outputs, bias=False), list[int]()
    few_rows.attach(layer)
    linear = torch.nn.functional.linear
    monkeypatch.setattr(torch.nn.functional, "linear", lambda *given: called.append(1) or linear(*given))
    layer(torch.ones(rows, inputs))
    assert bool(called) != as_columns


@pytest.mark.parametrize("shape", [(24,), (1, 24), (1, 1, 24), (2, 24), (1, 3, 24), (0, 24)])
@pytest.mark.parametrize("bias", [False, True])
def test_bfloat16_products_are_those_of_the_layer_but_for_the_last_bit(shape, bias):
    """The layer's own are sums in float32 too, in another order, rounded once."""
    layer = nn.Linear(24, 60, bias=bias).bfloat16()
    states = torch.randn(shape, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_()
    expected = layer(states)
    (slope,) = torch.autograd.grad(expected.square().sum(), states)
    assert few_rows.attach(layer) == 1
    given = layer(states)
    torch.testing.assert_close(given, expected, atol=4e-3, rtol=8e-3)
    torch.testing.assert_close(
        torch.autograd.grad(given.square().sum(), states)[0], slope, atol=2e-2, rtol=2e-2
    )


@torch.inference_mode()
@pytest.mark.parametrize(
    ("rows", "tiles", "as_vector"), [(1, True, True), (2, True, False), (1, False, False)]
)
def test_a_single_row_of_bfloat16_is_a_vector_where_the_processor_has_tiles(
    rows, tiles, as_vector, monkeypatch
):
    layer, called = nn.Linear(24, 60).bfloat16(), list[int]()
    monkeypatch.setattr(few_rows, "AMX", tiles)
    assert few_rows.attach(layer) == tiles
    linear = torch.nn.functional.linear
    monkeypatch.setattr(torch.nn.functional, "linear", lambda *given: called.append(1) or linear(*given))
    layer(torch.ones(rows, 24).bfloat16())
    assert bool(called) != as_vector


@torch.inference_mode()
@pytest.mark.parametrize(("own", "given"), [(torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16)])
def test_states_of_another_kind_than_the_weight_are_refused_or_cast_as_the_layer_does_it(own, given):
    layer, states = nn.Linear(24, 60, dtype=own), torch.ones(1, 24, dtype=given)
    assert few_rows.attach(layer) == 1
    with pytest.raises(RuntimeError, match="same dtype"):
        layer(states)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(states).dtype == torch.bfloat16


class Odd(nn.Linear):
    """A layer that somebody derived."""


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(24, 20),
        nn.Linear(24, 20).bfloat16(),
        nn.Linear(24, 60).half(),
        nn.Linear(24, 60, device="meta"),
        Odd(24, 60),
    ],
    ids=["small", "small bfloat16", "float16", "elsewhere", "derived"],
)
def test_other_layers_are_left_alone(layer):
    assert few_rows.attach(layer) == 0
    assert "forward" not in vars(layer)


@torch.inference_mode()
def test_a_layer_that_was_converted_or_copied_since_still_multiplies_its_own_weight():
    layer = nn.Linear(24, 60)
    few_rows.attach(layer)
    other = copy.deepcopy(layer)
    other.weight.zero_()
    assert torch.equal(other(torch.ones(1, 24)), other.bias[None])
    assert layer.bfloat16()(torch.ones(1, 24).bfloat16()).dtype == torch.bfloat16


def test_a_loaded_reader_decodes_the_same_text_with_and_without():
    engine = Engine.load("tiny", device="cpu")
    attached = [module for module in engine.model.modules() if "forward" in vars(module) and covered(module)]
    assert {type(module) for module in attached} == {nn.Linear}
    ids = engine.encode(
        "The code of Ann is 1234. The code of Bob is 9876. Question: What is the code of Bob? Answer:"
    )
    with_columns = engine.generate(ids, 12)
    for module in attached:
        del module.forward
    assert engine.generate(ids, 12) == with_columns


def covered(module: Any) -> bool:
    return isinstance(module, nn.Linear) and few_rows.covered(module.weight)


@torch.inference_mode()
def test_hooks_are_called():
    model, seen = build("mamba", hidden_size=32), list[int]()
    few_rows.attach(model)
    model.lm_head.register_forward_pre_hook(lambda *_: seen.append(1))
    model(draw(1, 4), logits_to_keep=1)
    assert seen == [1]
