"""Products on the processor's tiles, where it has them; what they give is in `test_bfloat_words.py`."""

from __future__ import annotations

import ctypes
import platform
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from llvmlite import binding
from numba import config, njit

from models import amx_product
from models.amx_product import AMX, close_tiles, open_tiles, permitted
from models.tile_product import PANEL, SPARE, product
from models.vector_math import LANES

FEATURES = {"amx-tile": True, "amx-bf16": True, "avx512f": True}


@njit
def open_inside_of_others(outer, inner, seen):
    open_tiles(outer)
    open_tiles(inner)
    close_tiles(inner)
    open_tiles(seen)
    close_tiles(seen)
    close_tiles(outer)


@njit
def what_it_was_told(seen):
    open_tiles(seen)
    close_tiles(seen)


@pytest.mark.skipif(not AMX, reason="this processor has no AMX")
def test_what_the_processor_was_told_before_is_told_to_it_again():
    outer, inner, seen = (np.full((1, LANES), np.nan, np.float32) for _ in range(3))
    open_inside_of_others(outer, inner, seen)
    assert inner.tobytes() == seen.tobytes() == amx_product.SHAPES
    after = np.empty((1, LANES), np.float32)
    open_inside_of_others(after, inner, seen)
    assert after.tobytes() == outer.tobytes()


@pytest.mark.skipif(not AMX, reason="this processor has no AMX")
def test_torchs_own_products_are_right_before_and_after_ours():
    left, right = torch.randn(64, 256).bfloat16(), torch.randn(96, 256).bfloat16()
    before = left @ right.t()
    x = torch.zeros(64 + SPARE, 256)
    x[:64, :128] = left.view(torch.float32)
    y, panel = np.empty((64 + SPARE, 96), np.float32), np.empty((PANEL, LANES), np.float32)
    product(x.numpy(), right.view(torch.int32).numpy(), np.empty(0, np.float32), y, panel, 64, False)
    exact = left.double() @ right.double().t()
    assert torch.equal(left @ right.t(), before)
    assert (before - exact).abs().max() <= 1e-2 * exact.abs().max()
    assert np.abs(y[:64] - exact.numpy()).max() <= 1e-6 * exact.abs().max()


@pytest.mark.skipif(not AMX, reason="this processor has no AMX")
def test_a_product_leaves_what_the_processor_was_told():
    before, after = (np.full((1, LANES), np.nan, np.float32) for _ in range(2))
    weight = torch.randn(32, 64).bfloat16().view(torch.int32).numpy()
    x, y = np.zeros((16 + SPARE, 32), np.float32), np.empty((16 + SPARE, 32), np.float32)
    what_it_was_told(before)
    product(x, weight, np.empty(0, np.float32), y, np.empty((PANEL, LANES), np.float32), 16, False)
    what_it_was_told(after)
    assert before.tobytes() == after.tobytes() != amx_product.SHAPES


def test_tiles_are_used_only_where_the_processor_has_them_and_linux_grants_them(monkeypatch):
    asked: list[tuple[int, ...]] = []
    answers = [0, -1]

    def syscall(*arguments: int) -> int:
        asked.append(arguments)
        return answers.pop(0)

    def features(**changes: bool) -> None:
        monkeypatch.setattr(binding, "get_host_cpu_features", lambda: FEATURES | changes)

    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(syscall=syscall))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    features()
    assert [permitted(), permitted()] == [True, False]
    assert asked == [(158, 0x1023, 18)] * 2  # arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert not permitted()
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    for feature in FEATURES:
        features(**{feature: False})
        assert not permitted()
    features()
    monkeypatch.setattr(config, "CPU_NAME", "generic")  # numba compiles for another
    assert not permitted()
    monkeypatch.setattr(config, "CPU_NAME", None)
    monkeypatch.setattr(sys, "platform", "win32")
    assert not permitted()
    assert len(asked) == 2
