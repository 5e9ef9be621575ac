"""Micro-batches by free memory, and memory that goes back to the system."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from transformers import PreTrainedModel

from models import device_memory, loading

Models = Callable[[str], PreTrainedModel]


@pytest.mark.parametrize(("hidden", "told"), [(128, False), (768, True)])
def test_the_large_blocks_of_a_wide_mamba_on_a_cpu_go_back_to_the_system(
    hidden: int, told: bool, random_model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda *setting: calls.append(setting))
    monkeypatch.setattr(device_memory.ctypes, "CDLL", lambda _: library)
    monkeypatch.setattr(random_model("Mamba").config, "hidden_size", hidden)
    monkeypatch.setattr(loading.cpu_mamba, "attach", lambda _: 2)
    assert loading._kernel(random_model("Mamba"), torch.device("cpu"), allow_slow=False) == "numba"
    assert calls == ([(-3, 1 << 17), (-1, 1 << 18)] if told else [])


def test_another_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_memory.ctypes, "CDLL", lambda _: SimpleNamespace())
    device_memory.return_large_blocks(768)
    device_memory.return_free_heap()


def test_on_cuda_the_micro_batch_is_what_half_the_free_memory_holds(
    random_model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Elsewhere(transformers.MambaForCausalLM):
        device = torch.device("cuda")  # type: ignore[assignment]

    config: Any = random_model("Mamba").config
    model = Elsewhere(config)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2 * 24 * 32 * 4 * 1000, 0))
    assert device_memory.token_budget(model) == 1000
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (80 << 30, 0))
    assert device_memory.token_budget(model) == device_memory.MOST_BATCH_TOKENS
    assert device_memory.token_budget(random_model("Mamba")) == device_memory.CPU_BATCH_TOKENS


def test_keys_and_values_count_in_the_micro_batch(
    random_model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two layers with half as many key and value heads as heads: two hidden vectors a token."""

    class Elsewhere(transformers.LlamaForCausalLM):
        device = torch.device("cuda")  # type: ignore[assignment]

    config: Any = random_model("Llama").config
    layers, hidden = config.num_hidden_layers, config.hidden_size
    kept = 2 * layers * config.num_key_value_heads / config.num_attention_heads
    token = int((24 + kept) * hidden * 4)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2 * token * 1000, 0))
    assert device_memory.token_budget(Elsewhere(config)) == 1000
