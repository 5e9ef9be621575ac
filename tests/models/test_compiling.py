"""How the kernels are compiled and kept; what they compute is in the tests of the files that call them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numba import njit

from models import compiling, cpu_mamba2, cpu_rglru, mamba_step, prefill_kernels, scan_kernels, vector_math
from models.compiling import build

KERNELS = (cpu_mamba2, cpu_rglru, mamba_step, prefill_kernels, scan_kernels)
ARITHMETIC = """
from numba import njit
@njit
def step(x):
    return x + {}
"""
KERNEL = """
from arithmetic import step
def kernel(worker, first, last, x):
    for i in range(first, last):
        x[i] = step(x[i])
"""


def test_a_kernel_of_twenty_arguments_is_refused():
    """CPython 3.11 would keep the tuple of every call."""

    def kernel(*arguments):
        pass

    with pytest.raises(ValueError, match="kernel takes 20 arguments"):
        build(kernel, "1" * 17)


def test_kernels_compile_where_no_cache_can_be_written(monkeypatch):
    def uncached(*signature, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*signature, **options)

    monkeypatch.setattr(compiling, "njit", uncached)
    conv = build(scan_kernels.conv, "32133")
    x, y = np.ones((1, 2, 16), np.float32), np.empty((1, 2, 16), np.float32)
    conv(0, 0, 2, x, np.ones((1, 16), np.float32), np.zeros(16, np.float32), x[:, :0], y)
    assert np.allclose(y, 1 / (1 + np.exp(-1)))


def test_a_kept_kernel_is_taken_until_the_source_of_what_is_below_it_changes(tmp_path: Path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "kernel.py").write_text(KERNEL)

    def read(number: int, variant: str = "") -> tuple[float, bool]:
        """What the kernel makes of 0, and whether it was kept; in modules that are read anew."""
        (tmp_path / "arithmetic.py").write_text(ARITHMETIC.format(number))
        for name in ("arithmetic", "kernel"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        function = importlib.import_module("kernel").kernel
        below = (importlib.import_module("arithmetic"),)
        built: Any = build(function, "1", below=below, variant=variant)
        x = np.zeros(1, np.float32)
        built(0, 0, 1, x)
        return float(x[0]), bool(built.stats.cache_hits)

    assert [read(7), read(7), read(70)] == [(7.0, False), (7.0, True), (70.0, False)]
    assert [read(7, "_other"), read(7, "_other")] == [(7.0, False), (7.0, True)]


def beneath(module: ModuleType) -> set[str]:
    """The modules of ours that its compiled code comes from: those whose functions it uses, down to the last, among
    those that numba compiles anything of."""
    found, left = set[str](), [module]
    while left:
        values = vars(left.pop()).values()
        names = {
            name for value in values if (name := str(getattr(value, "__module__", ""))).startswith("models.")
        }
        new = {name for name in names - found if _is_arithmetic(sys.modules[name])}
        found |= new
        left += [sys.modules[name] for name in new]
    return found - {module.__name__}


def _is_arithmetic(module: ModuleType) -> bool:
    return (
        any(hasattr(module, name) for name in ("njit", "intrinsic", "overload")) and module is not compiling
    )


@pytest.mark.parametrize(("tiles", "variant"), [(True, "_amx"), (False, "")])
def test_a_kernel_that_uses_tiles_is_filed_apart_from_one_that_may_not(tiles, variant, monkeypatch):
    given: list[str] = []
    monkeypatch.setattr(prefill_kernels, "AMX", tiles)
    monkeypatch.setattr(prefill_kernels, "build", lambda *_, **named: given.append(named["variant"]))
    prefill_kernels.compiled.__wrapped__(words=True)
    assert given == [variant]


@pytest.mark.parametrize("module", KERNELS, ids=lambda module: module.__name__)
def test_a_kernel_is_filed_under_all_that_is_below_it(module: ModuleType, monkeypatch):
    named: list[set[str]] = []

    def record(function: Callable, *_: Any, below: Any = (vector_math,), **__: Any) -> None:
        named.append({one.__name__ for one in below})

    monkeypatch.setattr(module, "build", record)
    module.compiled.__wrapped__(*[False] * (module is prefill_kernels))
    assert named
    assert all(names == beneath(module) for names in named)
