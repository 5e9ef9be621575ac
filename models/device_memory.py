"""What a reader may take of its device's memory: how many tokens at once, how what it took is read, and what goes
back to the system.

    python -m pytest tests/models/test_device_memory.py
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

import torch
from transformers import PreTrainedModel

from models.meter import Gauge, resident_gauge

CPU_BATCH_TOKENS = 4_096  # two chunks of 2,000, read side by side; 8K tokens of context fill it twice
MOST_BATCH_TOKENS = 120_000  # the longest segment that OPRM's authors read in one forward
WIDE = 1 << 20  # numbers of a micro-batch's hidden states
LARGE_BLOCK, KEPT_HEAP = 1 << 17, 1 << 18
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def token_budget(model: PreTrainedModel) -> int:
    """Tokens of one micro-batch: on CUDA half the free memory over an estimate of what a token takes while
    it is read (24 hidden vectors, which is 190 kB in a 7B Mamba where OPRM's table shows 165, and its keys
    and values)."""
    if model.device.type != "cuda":
        return CPU_BATCH_TOKENS
    config = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None)
    groups = getattr(config, "num_key_value_heads", None) or heads
    kept = 2 * config.num_hidden_layers * groups / heads if heads and groups else 0
    token_bytes = (24 + kept) * config.hidden_size * model.dtype.itemsize
    free, _ = torch.cuda.mem_get_info(model.device)
    return min(MOST_BATCH_TOKENS, max(1, int(free / 2 / token_bytes)))


def device_gauge(device: torch.device) -> Gauge:
    """What a meter needs of the device: allocated memory and a drained queue on CUDA, or resident memory."""
    if device.type != "cuda":
        return resident_gauge()
    return Gauge(
        reset=lambda: torch.cuda.reset_peak_memory_stats(device),
        peak=lambda: torch.cuda.max_memory_allocated(device),
        synchronize=lambda: torch.cuda.synchronize(device),
    )


def return_large_blocks(hidden_size: int) -> None:
    """For a Mamba on a CPU, of a width that makes large blocks: those of `LARGE_BLOCK` bytes and more go back to the
    system when they are freed, and so does the heap's end where more than `KEPT_HEAP` of it is free, if glibc
    allocates.

    By itself it learns from the first large block to keep them in its heap, where smaller ones come to lie between
    them and the peak creeps up with every micro-batch. The CPU forward of a wide Mamba makes few and large ones, so
    that mapping them anew costs nothing that can be measured."""
    if CPU_BATCH_TOKENS * hidden_size <= WIDE:
        return
    with suppress(AttributeError, OSError, TypeError):  # another allocator
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)
        mallopt(M_TRIM_THRESHOLD, KEPT_HEAP)


def return_free_heap() -> None:
    """What was freed and still lies in the heap (a loader's buffers, a compiler's) goes back to the system, where
    glibc allocates."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
