"""The CPU scan and convolution against float64 loops, and the error bounds of the arithmetic beneath them."""

from __future__ import annotations

import runpy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from models import scan_kernels, threads
from models import selective_scan as scan_module
from models.selective_scan import CHUNK, causal_conv_silu, selective_scan
from models.vector_math import decay2, exp2, load, sigmoid, softplus, store

NAMES = ("x", "dt", "A", "B", "C", "D", "z", "dt_bias", "state")
shapes = st.tuples(st.integers(1, 3), st.integers(1, 3 * CHUNK), st.integers(1, 40), st.integers(1, 17))


def draw(batch: int, length: int, channels: int, n: int, seed: int = 0) -> dict[str, Any]:
    random = np.random.default_rng(seed)

    def normal(*shape):
        return torch.from_numpy(random.standard_normal(shape, dtype=np.float32))

    return {
        "x": normal(batch, length, channels),
        "dt": 2 * normal(batch, length, channels),
        "A": -normal(channels, n).exp(),
        "B": normal(batch, length, n),
        "C": normal(batch, length, n),
        "D": normal(channels),
        "z": normal(batch, length, channels),
        "dt_bias": normal(channels),
        "state": normal(batch, channels, n),
    }


def scan_in_float64(x, dt, A, B, C, D, z, dt_bias, state):
    """The recurrence as it is written, one step at a time."""
    delta = torch.logaddexp(dt + dt_bias, torch.zeros((), dtype=torch.float64))
    rows = []
    for t in range(x.shape[1]):
        step = delta[:, t, :, None]
        state = torch.exp(step * A) * state + step * B[:, t, None] * x[:, t, :, None]
        rows.append((state * C[:, t, None]).sum(-1) + D * x[:, t])
    y = torch.stack(rows, 1)
    return (y if z is None else y * z * torch.sigmoid(z)), state


def conv_in_float64(x, weight, bias, state):
    full = torch.cat([state, x], 1)
    reach = weight.shape[1] - 1
    y = bias + sum(weight[:, j] * full[:, j : j + x.shape[1]] for j in range(reach + 1))
    return y * torch.sigmoid(y), full[:, x.shape[1] :]


def distance(value, exact):
    """The largest error on the scale of the largest exact entry."""
    value, exact = value.detach().double(), exact.detach().double()
    assert value.shape == exact.shape
    return float((value - exact).abs().max() / exact.abs().max().clamp(min=1e-20)) if exact.numel() else 0.0


def compare(function, reference, inputs, tolerance=3e-6):
    """Outputs, last state and every gradient of a random functional of both against the float64 loop."""
    low: dict[str, Any] = {
        k: None if v is None else v.detach().clone().requires_grad_() for k, v in inputs.items()
    }
    high: dict[str, Any] = {
        k: None if v is None else v.double().detach().requires_grad_() for k, v in inputs.items()
    }
    outputs, exact = function(**low), reference(**high)
    random = np.random.default_rng(1)
    weights = [torch.from_numpy(random.standard_normal(tuple(v.shape))) for v in exact]
    torch.stack([(v * w).sum() for v, w in zip(outputs, weights, strict=True)]).sum().backward()
    torch.stack([(v * w).sum() for v, w in zip(exact, weights, strict=True)]).sum().backward()
    for value, truth in zip(outputs, exact, strict=True):
        assert distance(value, truth) < tolerance
    for name, tensor in low.items():
        if tensor is not None:
            assert distance(tensor.grad, high[name].grad) < tolerance, name


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(shapes, st.booleans(), st.integers(0, 1000))
def test_the_scan_and_all_its_gradients_match_a_float64_loop(shape, gated, seed):
    inputs = draw(*shape, seed=seed)
    if not gated:
        inputs["z"] = None
    compare(selective_scan, scan_in_float64, inputs)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(st.integers(1, 3), st.integers(1, 20), st.integers(1, 40), st.integers(1, 5), st.integers(0, 1000))
def test_the_convolution_and_all_its_gradients_match_a_float64_loop(batch, length, channels, width, seed):
    random = np.random.default_rng(seed)
    shapes = {"x": (batch, length, channels), "weight": (channels, width), "bias": (channels,)}
    shapes["state"] = (batch, width - 1, channels)
    inputs = {k: torch.from_numpy(random.standard_normal(s, dtype=np.float32)) for k, s in shapes.items()}
    compare(causal_conv_silu, conv_in_float64, inputs)


def test_strided_views_give_what_copies_give_and_get_their_gradients():
    batch, length, channels, n = 2, 37, 48, 16
    inputs = draw(batch, length, channels, n)
    wide = torch.cat([inputs["x"], inputs["z"]], -1).requires_grad_()
    narrow = torch.cat([torch.ones(batch, length, 3), inputs["B"], inputs["C"]], -1).requires_grad_()
    x, z = wide.chunk(2, -1)
    _, B, C = narrow.split([3, n, n], -1)
    assert not x.is_contiguous()
    assert not B.is_contiguous()
    y, last = selective_scan(**{**inputs, "x": x, "z": z, "B": B, "C": C})
    expected_y, expected_last = selective_scan(**inputs)
    assert torch.equal(y, expected_y)
    assert torch.equal(last, expected_last)
    y.sum().backward()
    apart = {k: inputs[k].clone().requires_grad_() for k in ("x", "z", "B", "C")}
    selective_scan(**{**inputs, **apart})[0].sum().backward()
    assert wide.grad is not None
    assert narrow.grad is not None
    assert torch.equal(wide.grad, torch.cat([apart["x"].grad, apart["z"].grad], -1))
    assert torch.equal(narrow.grad[..., 3:], torch.cat([apart["B"].grad, apart["C"].grad], -1))


def test_the_last_axis_need_not_be_dense():
    inputs = draw(2, 9, 16, 16)
    turned = {k: v.mT.contiguous().mT if v.dim() > 1 else v for k, v in inputs.items()}
    assert turned["x"].stride(-1) == 9
    assert torch.equal(selective_scan(**turned)[0], selective_scan(**inputs)[0])


@pytest.mark.parametrize("cut", [1, CHUNK - 1, CHUNK, 40])
def test_a_sequence_scanned_in_two_parts_equals_the_whole_one(cut):
    inputs = draw(2, 50, 32, 16)
    whole_y, whole_state = selective_scan(**inputs)
    timed = ("x", "dt", "B", "C", "z")
    first = {k: v[:, :cut] if k in timed else v for k, v in inputs.items()}
    rest = {k: v[:, cut:] if k in timed else v for k, v in inputs.items()}
    y, state = selective_scan(**first)
    kept = state.clone()
    more, last = selective_scan(**{**rest, "state": state})
    assert torch.allclose(torch.cat([y, more], 1), whole_y, atol=1e-5)
    assert torch.allclose(last, whole_state, atol=1e-6)
    assert torch.equal(state, kept), "the given state was written to"


def test_a_single_state_per_channel_is_not_written_to():
    inputs = draw(1, 5, 16, 1)
    kept = inputs["state"].clone()
    selective_scan(**inputs)
    assert torch.equal(inputs["state"], kept)


@pytest.mark.parametrize("cut", [1, 2, 3, 11])
def test_a_convolution_in_two_parts_equals_the_whole_one(cut):
    x, weight = torch.randn(2, 12, 20, generator=torch.Generator().manual_seed(0)), torch.rand(20, 4)
    whole, end = causal_conv_silu(x, weight, None)
    first, state = causal_conv_silu(x[:, :cut], weight, None)
    rest, last = causal_conv_silu(x[:, cut:], weight, None, state)
    assert torch.equal(torch.cat([first, rest], 1), whole)
    assert torch.equal(last, end)


def test_an_absent_state_is_a_state_of_zeros():
    inputs = draw(2, 7, 16, 4)
    zeros = {**inputs, "state": torch.zeros_like(inputs["state"])}
    assert torch.equal(selective_scan(**zeros)[0], selective_scan(**{**inputs, "state": None})[0])


@pytest.mark.parametrize("shift", [-1000.0, -60.0, 60.0, 1000.0])
def test_extreme_time_steps_stay_finite_and_right(shift):
    inputs = draw(1, 20, 16, 16)
    inputs["dt"] = inputs["dt"] + shift
    compare(selective_scan, scan_in_float64, inputs, tolerance=1e-5)


def test_slow_decay_does_not_drift_over_thousands_of_steps():
    length = 5000
    inputs = draw(1, length, 16, 4)
    inputs.update(x=torch.zeros(1, length, 16), dt=torch.full((1, length, 16), -8.0))
    inputs.update(A=torch.full((16, 4), -0.1), dt_bias=torch.zeros(16), state=torch.ones(1, 16, 4))
    exact = np.exp(-0.1 * length * np.log1p(np.exp(-8.0)))
    assert abs(selective_scan(**inputs)[1] / exact - 1).max() < 2e-4


def test_half_precision_goes_in_and_comes_out_while_the_state_stays_float32():
    inputs = draw(1, 9, 16, 16)
    half = {k: v.bfloat16() for k, v in inputs.items()}
    y, last = selective_scan(**half)
    assert y.dtype == torch.bfloat16
    assert last.dtype == torch.float32
    assert torch.equal(last, selective_scan(**{k: v.float() for k, v in half.items()})[1])
    conv, state = causal_conv_silu(half["x"], half["A"][:, :4], half["D"])
    assert conv.dtype == state.dtype == torch.bfloat16


def test_empty_sequences_and_batches_pass_through():
    nothing = draw(2, 0, 16, 4)
    y, last = selective_scan(**nothing)
    assert y.shape == (2, 0, 16)
    assert torch.equal(last, nothing["state"])
    assert selective_scan(**draw(0, 5, 16, 4))[0].shape == (0, 5, 16)


@pytest.mark.parametrize("name", ["dt", "B", "C", "D", "z", "dt_bias", "state"])
def test_shapes_that_do_not_fit_are_refused_by_name(name):
    inputs = draw(2, 5, 16, 4)
    inputs[name] = inputs[name][..., :-1]
    with pytest.raises(ValueError, match=f"^{name} has shape"):
        selective_scan(**inputs)


def test_no_states_are_kept_when_nobody_records_gradients(monkeypatch):
    inputs = draw(1, 64, 16, 16)
    inputs["A"].requires_grad_()
    kept = []
    monkeypatch.setattr(scan_module, "share", lambda kernel, tasks, workers, *a: kept.append(a[-2].size))
    with torch.no_grad():
        selective_scan(**inputs)
    selective_scan(**inputs)
    assert kept == [0, 64 // CHUNK * 16 * 16]


@pytest.mark.parametrize("openmp", [True, False])
def test_several_workers_give_what_one_gives(openmp, monkeypatch):
    if not openmp:
        monkeypatch.setattr(threads, "gnu_openmp", lambda: None)
    inputs = draw(3, 40, 48, 16)

    def run(workers):
        monkeypatch.setattr(scan_module, "workers_for", lambda tasks, updates: min(workers, tasks))
        leaves = {k: v.clone().requires_grad_() for k, v in inputs.items()}
        conv, _ = causal_conv_silu(leaves["x"], leaves["A"][:, :4], leaves["D"])
        y, last = selective_scan(**{**leaves, "x": conv})
        (y.sum() + last.sum()).backward()
        return [y, last, *(leaf.grad for leaf in leaves.values())]

    for one, many in zip(run(1), run(5), strict=True):
        assert torch.allclose(one, many, rtol=1e-4, atol=1e-4)


def test_importing_compiles_nothing():
    fresh = runpy.run_path(str(scan_kernels.__file__))
    assert fresh["compiled"].cache_info().misses == 0


@njit
def apply(which, values, out):
    for i in range(0, len(values), 16):
        x = load(values, (i,))
        if which == 0:
            store(out, (i,), exp2(x))
        elif which == 1:
            store(out, (i,), softplus(x))
        elif which == 2:
            store(out, (i,), decay2(x))
        else:
            store(out, (i,), sigmoid(x))


def evaluate(which, values):
    values = np.ascontiguousarray(values, dtype=np.float32)
    out = np.empty_like(values)
    apply(which, values, out)
    return out, values.astype(np.float64)


def test_exp2_is_right_to_two_units_in_the_last_place_over_its_range():
    out, x = evaluate(0, np.linspace(-126, 126, 1 << 21))
    assert np.abs(out / 2.0**x - 1).max() < 2e-7
    out, x = evaluate(0, -np.logspace(-9, -2, 1 << 18))
    assert np.abs(out - 2.0**x).max() < 4e-8


def test_exp2_saturates_outside_its_range_and_keeps_nan():
    out, _ = evaluate(0, np.repeat([-np.inf, -1e30, -127.0, 127.0, 1e30, np.inf, 0.0, np.nan], 2))
    assert (out[:6] == 2.0**-126).all()
    assert (out[6:12] == 2.0**126).all()
    assert (out[12:14] == 1).all()
    assert np.isnan(out[14:]).all()


def test_decay2_is_exp2_down_from_zero():
    values = np.concatenate([-np.logspace(-9, 6, (1 << 16) - 2), [0.0, -np.inf]])
    assert np.array_equal(evaluate(2, values)[0], evaluate(0, values)[0])


def test_softplus_and_sigmoid_are_right_relatively_also_far_below_zero():
    out, x = evaluate(1, np.linspace(-20, 200, 1 << 20))
    assert np.abs(out / np.logaddexp(0, x) - 1).max() < 2e-6
    out, x = evaluate(3, np.linspace(-20, 200, 1 << 20))
    assert np.abs(out * (1 + np.exp(-x)) - 1).max() < 2e-6
    out, x = evaluate(1, np.linspace(-4, 4, 1 << 20))
    assert np.abs(out / np.logaddexp(0, x) - 1).max() < 5e-7
    out, _ = evaluate(1, np.repeat([-np.inf, -1e30, 1e30, np.nan], 4))
    assert (out[:8] < 1e-37).all()
    assert (out[8:12] == np.float32(1e30)).all()
    assert np.isnan(out[12:]).all()


def test_the_reference_is_torchs_own_softplus_and_silu():
    inputs = {k: v.double() for k, v in draw(1, 4, 3, 2).items()}
    inputs.update(A=torch.full((3, 2), -1e9).double(), C=torch.ones(1, 4, 2).double())
    y, _ = scan_in_float64(**inputs)
    delta = F.softplus(inputs["dt"] + inputs["dt_bias"])
    plain = delta * inputs["x"] * inputs["B"].sum(-1, keepdim=True) + inputs["D"] * inputs["x"]
    assert torch.allclose(y, plain * F.silu(inputs["z"]))
