"""How the kernels are compiled; what they compute is in the tests of the files that call them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from models import scan_kernels
from models.scan_kernels import build


def test_a_kernel_of_twenty_arguments_is_refused():
    """CPython 3.11 would keep the tuple of every call."""

    def kernel(*arguments):
        pass

    with pytest.raises(ValueError, match="kernel takes 20 arguments"):
        build(kernel, "1" * 17)


def test_an_interrupt_that_a_callback_swallows_is_raised_afterwards(monkeypatch):
    """Python checks for Ctrl-C when it enters a function, and ctypes prints what that raises and goes on."""

    def thread_num():
        raise KeyboardInterrupt

    openmp = SimpleNamespace(
        omp_get_thread_num=thread_num,
        omp_get_num_threads=lambda: 2,
        GOMP_parallel=lambda region, *_: region(None),
    )
    monkeypatch.setattr(scan_kernels, "gnu_openmp", lambda: openmp)
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        scan_kernels.share(lambda *_: None, 4, 2)
