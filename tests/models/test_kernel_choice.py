"""CUDA kernels that are installed do not run where a reader is on the CPU."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel
from transformers.integrations.hub_kernels import use_kernel_func_from_hub_with_fallback

from models import loading
from models.kernel_choice import by_device, choose_by_device

PACKAGE = "some_cuda_kernels"


class OnlyOnCuda(ModuleType):
    """A package whose every function fails as a Triton kernel does on a CPU's tensors."""

    def __getattr__(self, name: str) -> Any:
        def kernel(*given: Any, **options: Any) -> Any:
            raise ValueError("Pointer argument cannot be accessed from Triton (cpu tensor?)")

        return kernel


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[PreTrainedModel], int]:
    """``install(model)``: transformers' functions for it become those that it would have chosen had it found the
    packages; returns how many."""
    monkeypatch.setitem(sys.modules, PACKAGE, OnlyOnCuda(PACKAGE))

    def take(model: PreTrainedModel) -> int:
        count = 0
        for module in {type(part).__module__ for part in model.modules()}:
            for name, value in list(vars(sys.modules[module]).items()):
                made_in = value.__code__.co_filename if inspect.isfunction(value) else ""
                # by transformers, or by `by_device` where this process has opened such a reader before
                if hasattr(value, "__wrapped__") and made_in.endswith(
                    ("integrations/hub_kernels.py", "models/kernel_choice.py")
                ):
                    chosen = use_kernel_func_from_hub_with_fallback(name, PACKAGE)(inspect.unwrap(value))
                    monkeypatch.setattr(sys.modules[module], name, chosen)
                    count += 1
        return count

    return take


@pytest.mark.parametrize(
    "family", ["Mamba", "FalconMamba", "Mamba2", "Bamba", "FalconH1", "Qwen3Next", "Lfm2"]
)
def test_a_reader_on_the_cpu_runs_plain_torch_where_cuda_kernels_are_installed(
    family: str, random_model: Callable[[str], PreTrainedModel], install: Callable[[PreTrainedModel], int]
) -> None:
    model, ids = random_model(family), torch.arange(6, 26)[None]
    with torch.inference_mode():
        expected = model(input_ids=ids).logits
    assert install(model) > 0
    with pytest.raises(ValueError, match="Triton"), torch.inference_mode():
        model(input_ids=ids)
    choose_by_device(model)
    with torch.inference_mode():
        assert torch.equal(model(input_ids=ids).logits, expected)


def test_a_reader_is_made_so_when_it_is_opened_on_the_cpu(
    random_model: Callable[[str], PreTrainedModel],
    install: Callable[[PreTrainedModel], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before our own scan is attached, which takes over the functions that it finds."""
    model: Any = random_model("Mamba2")
    install(model)
    seen: list[str] = []

    def attach(module: Any) -> int:
        with torch.inference_mode():
            module(input_ids=torch.arange(6, 26)[None])
        seen.append("read")
        return 0

    monkeypatch.setattr(loading.cpu_mamba2, "attach", attach)
    assert loading._kernel(model, torch.device("cpu"), allow_slow=False) == "torch"
    assert seen == ["read"]


def test_tensors_on_cuda_go_to_the_kernel_and_others_to_plain_torch_without_the_options_it_lacks() -> None:
    def plain(x: torch.Tensor, scale: int = 1) -> str:
        return f"plain {scale}"

    def chosen(*given: Any, **options: Any) -> str:
        return f"kernel {sorted(options)}"

    chosen.__wrapped__ = plain  # type: ignore[attr-defined]
    call = by_device(chosen)

    class Elsewhere(torch.Tensor):
        is_cuda = True  # type: ignore[assignment]

    here, there = torch.ones(1), torch.ones(1).as_subclass(Elsewhere)
    assert call(here, scale=3, return_varlen_states=None) == "plain 3"
    assert call(x=here) == "plain 1"
    assert call(None, there, scale=3) == "kernel ['scale']"
