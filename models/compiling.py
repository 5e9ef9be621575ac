"""How the numba kernels of this room are compiled, and kept on disk for the next process.

A kernel is a function `(worker, first, last, ...)` over settings and arrays, which handles tasks `first` to `last`
and writes only what is its own (`models/threads.py` calls it). It has one signature: a view or a length of one must
not set off another compilation.

    python -m pytest tests/models/test_compiling.py
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Literal
from zlib import crc32

from numba import njit
from numba.core import types

from models import vector_math

SHARE = (types.intp,) * 3  # of the work: worker, first, last
FORGOTTEN = 20


def build(
    function: Callable,
    axes: str,
    settings: tuple[types.Type, ...] = SHARE,
    *,
    layout: Literal["A", "C"] = "A",
    below: Sequence[ModuleType] = (vector_math,),
    variant: str = "",
) -> Callable:
    """Compile for settings and arrays of so many axes ("w": a matrix of words; layout "A": any strides, "C":
    contiguous); from disk where this was done before with the same sources, the function's own file and the modules
    `below`, which hold the arithmetic that it is made of. Code that differs on one processor from process to process
    has a `variant`.

    Twenty arguments in all are refused: CPython 3.11 puts a call's tuple of twenty among those to be used again
    but never does, which leaves 400 kB behind."""
    if len(settings) + len(axes) == FORGOTTEN:
        raise ValueError(f"{function.__name__} takes {FORGOTTEN} arguments: expected one more or less")
    words = types.Array(types.int32, 2, layout)
    arrays = (words if axis == "w" else types.Array(types.float32, int(axis), layout) for axis in axes)
    signature = types.void(*settings, *arrays)
    # Numba's cache watches the function's file alone; what is below goes into the name that it files under.
    sources = b"".join(Path(inspect.getfile(module)).read_bytes() for module in below)
    function.__qualname__ = f"{function.__name__}_{crc32(sources):08x}{variant}"
    try:
        return njit(signature, nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # no folder to write a cache to
        return njit(signature, nogil=True, error_model="numpy")(function)
