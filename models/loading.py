"""Opening a reader: from a name, a folder or a hub id to a model on its device with its tokenizer, and what
that device allows (kernels, micro-batch, memory gauge).

Whatever goes wrong is a `ReaderError` of one line. Exercised by ``pytest tests/models/test_loading.py``.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from models.cpu_mamba import attach
from models.meter import Gauge, resident_gauge
from models.specs import ReaderError, ReaderSpec, reader_spec

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
CUDA_KERNELS = ("mamba_ssm", "causal_conv1d")
CPU_BATCH_TOKENS = 16_384
MOST_BATCH_TOKENS = 120_000  # the longest segment that OPRM's authors read in one forward


def open_reader(
    name: str, *, device: str, dtype: str, revision: str | None, trust_remote_code: bool, allow_slow: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, ReaderSpec, str]:
    """The model on its device, its tokenizer, its spec (with the revision asked for) and the name of its
    scan; the arguments are those of `Engine.load`."""
    spec = reader_spec(name)
    spec = replace(spec, revision=revision or spec.revision)
    place = _place(device)
    model = _load_model(spec, _precision(dtype, spec, place), trust_remote_code)
    tokenizer = load_tokenizer(spec, trust_remote_code)
    kernel = _kernel(model, place, allow_slow)
    return model.to(place), tokenizer, spec, kernel  # type: ignore[arg-type]


def _place(device: str) -> torch.device:
    wanted = device
    if device == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.split(":")[0] not in ("cpu", "cuda"):
        raise ReaderError(f"unknown device {device!r}: expected auto, cpu or cuda")
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise ReaderError("no CUDA device here (or a CPU build of torch): use --device cpu")
    return torch.device(wanted)


def _precision(dtype: str, spec: ReaderSpec, place: torch.device) -> torch.dtype | str:
    if dtype == "auto":
        dtype = spec.dtype if place.type == "cuda" else "float32"
    if dtype != "auto" and dtype not in DTYPES:
        raise ReaderError(f"unknown dtype {dtype!r}: expected auto, {', '.join(DTYPES)}")
    return DTYPES.get(dtype, "auto")


def _load_model(spec: ReaderSpec, dtype: torch.dtype | str, trust_remote_code: bool) -> PreTrainedModel:
    folder = Path(spec.path)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise ReaderError(
            f"no reader in {folder}: expected config.json, model.safetensors and tokenizer.json"
        )
    if spec.needs_remote_code and not trust_remote_code:
        raise ReaderError(
            f"{spec.name} runs code from its repository: read it, then pass --trust-remote-code"
        )
    if not sys.stderr.isatty():
        logging.disable_progress_bar()  # a log keeps every frame of it
    with _one_line(spec, "model"):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            spec.path,
            revision=spec.revision or "main",
            dtype=dtype,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
    model, report = loaded
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise ReaderError(
            f"incomplete weights in {spec.path}: {len(missing)} tensors missing, the first is {missing[0]}"
        )
    return model


def load_tokenizer(spec: ReaderSpec, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The reader's tokenizer alone, to count with before weights are read; ReaderError if it is missing."""
    source = spec.tokenizer or spec.path
    revision = spec.revision if source == spec.path else None
    with _one_line(spec, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(
            source, revision=revision or "main", trust_remote_code=trust_remote_code
        )
    if len(tokenizer) == len(tokenizer.get_added_vocab()):
        # some families get a tokenizer of special tokens alone, without a word, where the files are missing
        raise ReaderError(f"no tokenizer in {source}: expected tokenizer.json")
    return tokenizer


@contextmanager
def _one_line(spec: ReaderSpec, part: str) -> Iterator[None]:
    """transformers explains in paragraphs why something did not load; the first sentence and what to do are
    enough."""
    try:
        yield
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if "trust_remote_code" in str(error):
            reason = "it needs code from its repository: read it, then pass --trust-remote-code"
        elif not Path(spec.path).is_dir():
            reason += " (not a folder here; from the hub it needs a network or a filled cache)"
        raise ReaderError(f"cannot load the {part} of {spec.path}: {reason}") from error


def _kernel(model: PreTrainedModel, place: torch.device, allow_slow: bool) -> str:
    """The Mamba scan that will run; attaches ours on a CPU."""
    if place.type == "cpu":
        return "numba" if attach(model) else "torch"
    if not any(hasattr(module, "A_log") and hasattr(module, "D") for module in model.modules()):
        return "torch"
    missing = [package for package in CUDA_KERNELS if not _imports(package)]
    if missing and not allow_slow:
        raise ReaderError(
            f"{' and '.join(missing)} missing: without them a Mamba on CUDA falls back to a slow scan; "
            "install the cuda extra (pip install --no-build-isolation mamba-ssm causal-conv1d)"
        )
    return "torch" if missing else "cuda"


def _imports(package: str) -> bool:
    """Import for real: transformers falls back without a word when a compiled package is there but does not
    load."""
    try:
        importlib.import_module(package)
    except Exception:
        return False
    return True


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
