"""On CUDA: the fused kernels against transformers' own reference on a CPU, cutting, decoding, and memory.

Needs mamba_ssm and causal_conv1d (``pip install -e '.[cuda]' --no-build-isolation``). Exercised by ``make
test-gpu``.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from importlib import import_module
from typing import Any
from unittest.mock import patch

import pytest
import torch
import transformers
from transformers import PreTrainedModel

from models.engine import Engine
from models.loading import CUDA_KERNELS, load_tokenizer
from models.specs import ReaderError, ReaderSpec, reader_spec

SHAPES: dict[str, dict[str, Any]] = {
    "Mamba": {"state_size": 16, "time_step_rank": 8},
    "FalconMamba": {"state_size": 16, "time_step_rank": 8},
    # Triton multiplies blocks of at least 16 by 16, and causal_conv1d wants strides that are multiples of 8
    "Mamba2": {"state_size": 64, "num_heads": 8, "head_dim": 32, "n_groups": 1, "chunk_size": 64},
}
VOCABULARY = 1200
# Triton multiplies float32 as TF32; these are some four times what rounding alone makes
TOLERANCES = {torch.float32: 1e-3, torch.float16: 6e-3, torch.bfloat16: 6e-2}


@cache
def reference(family: str) -> PreTrainedModel:
    """Two layers of 128 channels with random weights, on the CPU, in transformers' own code."""
    config = getattr(transformers, f"{family}Config")(
        vocab_size=VOCABULARY,
        hidden_size=128,
        num_hidden_layers=2,
        eos_token_id=0,
        bos_token_id=0,
        pad_token_id=0,
        **SHAPES[family],
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def engine(model: PreTrainedModel, **options: Any) -> Engine:
    return Engine(model, load_tokenizer(reader_spec("tiny")), ReaderSpec("random", "random"), **options)


def on_cuda(family: str, dtype: torch.dtype = torch.float32, **options: Any) -> Engine:
    return engine(deepcopy(reference(family)).to("cuda", dtype), kernel="cuda", **options)


def rows(count: int, length: int) -> list[list[int]]:
    return torch.randint(
        2, VOCABULARY, (count, length), generator=torch.Generator().manual_seed(length)
    ).tolist()


@pytest.fixture(autouse=True, scope="session")
def kernels() -> None:
    """Before any reader is loaded, which would be an error without them."""
    for package in CUDA_KERNELS:
        pytest.importorskip(package)


@pytest.fixture(params=list(SHAPES))
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def tiny_on_cuda() -> Engine:
    return Engine.load("tiny", device="cuda", dtype="float32")


@contextmanager
def torch_path(family: str) -> Iterator[None]:
    """transformers' own code on a CPU: where the kernels' packages import, it would hand them CPU tensors."""
    name = family.lower().replace("falcon", "falcon_")
    room = vars(import_module(f"transformers.models.{name}.modeling_{name}"))
    replaced = {key: inspect.unwrap(value) for key, value in room.items() if inspect.isfunction(value)}
    with patch.dict(room, replaced):
        yield


@torch.inference_mode()
def reference_logits(family: str, batch: list[list[int]]) -> torch.Tensor:
    with torch_path(family):
        return reference(family)(input_ids=torch.tensor(batch)).logits[:, -1]


@pytest.mark.parametrize("dtype", list(TOLERANCES))
@pytest.mark.parametrize("length", [1, 7, 64, 333])
def test_kernels_give_the_references_logits(family: str, dtype: torch.dtype, length: int) -> None:
    batch = rows(3, length)
    fast = on_cuda(family, dtype).prefill(batch).logits[:, -1].cpu()
    slow = reference_logits(family, batch)
    scale = slow.abs().max().item()
    torch.testing.assert_close(fast, slow, atol=TOLERANCES[dtype] * scale, rtol=0)


def test_a_row_cut_from_a_batch_decodes_as_the_reference_does(family: str) -> None:
    fast, slow = on_cuda(family), engine(reference(family))
    batch = rows(4, 79)  # more than a chunk, and no two answers so close that TF32 could swap them
    together = fast.prefill(batch)
    with torch_path(family):
        wanted = [slow.generate(row, 12) for row in batch]
    assert [fast.decode(fast.select(together, place), 12) for place in range(4)] == wanted


def test_a_family_never_falls_back(family: str, caplog: pytest.LogCaptureFixture) -> None:
    transformers.utils.logging.enable_propagation()
    logging.Logger.warning_once.cache_clear()  # type: ignore[attr-defined]  # or an earlier test has seen it
    with caplog.at_level(logging.WARNING, logger="transformers"):
        on_cuda(family).generate(rows(1, 64)[0], 4)
    assert [record for record in caplog.records if "falling back" in record.getMessage()] == []


def test_the_embedded_reader_answers_on_cuda_as_on_a_cpu(tiny_on_cuda: Engine) -> None:
    text = "The office of Alden is in Paris. What is the office of Alden? Answer:"
    slow = Engine.load("tiny", device="cpu")
    ids = slow.encode(text)
    assert tiny_on_cuda.kernel == "cuda"
    assert tiny_on_cuda.generate(ids, 8, stop=("\n",)) == slow.generate(ids, 8, stop=("\n",))
    assert tiny_on_cuda.score(ids, [5, 6]) == pytest.approx(slow.score(ids, [5, 6]), abs=1e-2)


def test_a_batch_beyond_the_memory_is_halved_until_it_fits(family: str) -> None:
    reader = on_cuda(family, batch_tokens=1 << 17)
    reader.prefill(rows(1, 2048))  # the kernels' first use takes more memory than the limit below
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info()[1]
    used = torch.cuda.memory_allocated()
    torch.cuda.set_per_process_memory_fraction((used + (96 << 20)) / total)
    try:
        with reader.meter() as cost:
            read = [place for places, _ in reader.prefill_batches(rows(64, 2048)) for place in places]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
    assert read == list(range(64))
    assert cost.halvings > 0
    assert reader.batch_tokens < 1 << 17


def test_peak_memory_does_not_grow_with_the_number_of_rows(family: str) -> None:
    reader = on_cuda(family, batch_tokens=4096)
    peaks = []
    for count in (4, 4, 64):  # the first pass fills the allocator's and the kernels' own caches
        with reader.meter() as cost:
            for _, prefill in reader.prefill_batches(rows(count, 1024)):
                del prefill
        peaks.append(cost.peak_bytes)
    assert peaks[2] <= 1.05 * peaks[1]


def test_mamba2_refuses_what_its_kernels_cannot_address() -> None:
    reader = on_cuda("Mamba2")
    assert reader.addressable is not None
    reader.addressable = 100
    with pytest.raises(ReaderError, match="CUDA kernels can address"):
        reader.prefill(rows(1, 101))
