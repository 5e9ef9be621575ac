"""How the kernels are compiled; what they compute is in the tests of the files that call them."""

from __future__ import annotations

import pytest

from models.scan_kernels import build


def test_a_kernel_of_twenty_arguments_is_refused():
    """CPython 3.11 would keep the tuple of every call."""

    def kernel(*arguments):
        pass

    with pytest.raises(ValueError, match="kernel takes 20 arguments"):
        build(kernel, "1" * 17)
