"""Which code the mixers of transformers' models run: CUDA's kernels for tensors on CUDA, plain torch for others.

transformers 5 takes the functions of `mamba_ssm`, `causal_conv1d` and `fla` for its own as soon as it is imported
where they are installed, whatever device the model is on; they cannot read a CPU's memory. Exercised by ``pytest
tests/models/test_kernel_choice.py``.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from torch import Tensor, nn
from transformers.integrations import hub_kernels


def choose_by_device(model: nn.Module) -> None:
    """Lets the functions that `model` calls choose at every call, by where their tensors are.

    For all models of its kind: a second one on CUDA keeps its kernels."""
    for name in {type(module).__module__ for module in model.modules()}:
        scope = vars(sys.modules[name])
        chosen = {key: value for key, value in scope.items() if _was_chosen(value)}
        scope.update({key: by_device(function) for key, function in chosen.items()})


def by_device(chosen: Any) -> Callable[..., Any]:
    """`chosen` for tensors on CUDA, and the torch function that it stands for elsewhere."""
    plain = chosen.__wrapped__
    accepted = inspect.signature(plain).parameters

    @wraps(chosen)
    def call(*given: Any, **options: Any) -> Any:
        first = next(value for value in (*given, *options.values()) if isinstance(value, Tensor))
        if first.is_cuda:
            return chosen(*given, **options)
        return plain(*given, **{name: value for name, value in options.items() if name in accepted})

    return call


def _was_chosen(value: Any) -> bool:
    """Whether transformers chose between a package's function and its own."""
    return (
        inspect.isfunction(value) and value.__globals__ is vars(hub_kernels) and hasattr(value, "__wrapped__")
    )
