"""Triton's interpreter as the kernels of mamba-ssm need it: tensors of a CPU, one configuration of each kernel, and
products of bfloat16 numbers. It multiplies float32 exactly, where a GPU may take TF32.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from tests.emulated.stand_ins import CALLS


def mend() -> None:
    """Changes Triton and `torch.cuda.device` in this process; every launch of a kernel is counted in `CALLS`."""
    import triton.language as tl
    from triton.runtime.autotuner import Autotuner
    from triton.runtime.interpreter import GridExecutor, InterpreterBuilder, TensorHandle

    tune, launch = Autotuner.__init__, GridExecutor.__call__

    def take_first(self: Any, fn: Any, names: Any, configs: list[Any], *rest: Any, **options: Any) -> None:
        tune(
            self, fn, names, configs[:1], *rest, **options
        )  # to compare them, it would ask a GPU for the time

    def count(self: Any, *arguments: Any, **options: Any) -> Any:
        CALLS[self.fn.__name__] += 1
        return launch(self, *arguments, **options)

    def numbers(handle: Any) -> Any:
        """NumPy has no bfloat16: the interpreter keeps the bits as uint16, and would multiply those."""
        if handle.dtype.scalar == tl.bfloat16:
            return (handle.data.astype(np.uint32) << 16).view(np.float32)
        return handle.data

    def create_dot(self: Any, a: Any, b: Any, d: Any, *precision: Any) -> Any:
        product = np.matmul(numbers(a), numbers(b), dtype=d.data.dtype)
        return TensorHandle(product + d.data, d.dtype.scalar)

    Autotuner.__init__ = take_first
    GridExecutor.__call__ = count
    InterpreterBuilder.create_dot = create_dot
    torch.cuda.device = lambda index: nullcontext()
