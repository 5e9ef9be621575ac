"""Opening a reader: from a name, a folder or a hub id to a model on its device with its tokenizer, and which
kernels run it there.

Whatever goes wrong is a `ReaderError` of one line. Exercised by ``pytest tests/models/test_loading.py``.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import huggingface_hub
import torch
import transformers
from huggingface_hub.errors import RevisionNotFoundError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from models import cpu_mamba, cpu_mamba2, cpu_rglru, few_rows
from models.device_memory import return_large_blocks
from models.kernel_choice import choose_by_device
from models.packaged import weights_file
from models.revision import folder_revision
from models.specs import ReaderError, ReaderSpec, at_revision, reader_spec
from models.tokens import Tokens

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
CUDA_KERNELS = ("mamba_ssm", "causal_conv1d")
REMOTE_CODE = "transformers_modules."
OUTDATED = (AttributeError, ImportError, NameError, TypeError)  # what code for another version runs into
HUB_SECONDS = 5  # to answer that it is there; its client alone would try for half a minute

Loaded = TypeVar("Loaded")


def open_reader(
    name: str, *, device: str, dtype: str, revision: str | None, trust_remote_code: bool, allow_slow: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, ReaderSpec, str]:
    """The model on its device, its tokenizer, its spec (with the revision asked for, a folder's by its content)
    and the name of its scan; the arguments are those of `Engine.load`."""
    spec = at_revision(reader_spec(name), revision)
    place = device_of(device)
    _check_folder(spec)
    found = folder_revision(Path(spec.path)) if Path(spec.path).is_dir() else spec.revision
    model = load_model(spec, precision(dtype, spec, place), trust_remote_code)
    tokenizer = load_tokenizer(spec, trust_remote_code)
    kernel = _kernel(model, place, allow_slow)
    try:
        return model.to(place), tokenizer, replace(spec, revision=found), kernel  # type: ignore[arg-type]
    except torch.OutOfMemoryError:
        raise ReaderError(f"{place} has too little free memory for the weights of {spec.name}") from None


def device_of(device: str | torch.device) -> torch.device:
    """The device of that name, "auto" resolved; ReaderError where it is not there."""
    wanted = str(device)
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", wanted):
        raise ReaderError(f"unknown device {device!r}: expected auto, cpu, cuda or cuda:N")
    place = torch.device(wanted)
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ReaderError("no CUDA device here (or a CPU build of torch): use --device cpu")
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise ReaderError(f"no device {device!r}: {torch.cuda.device_count()} CUDA devices are here")
    return place


def precision(dtype: str, spec: ReaderSpec, place: torch.device) -> torch.dtype | str:
    """The dtype to load the reader in; ReaderError for an unknown one."""
    if dtype == "auto":
        dtype = spec.dtype if place.type == "cuda" else "float32"
    if dtype != "auto" and dtype not in DTYPES:
        raise ReaderError(f"unknown dtype {dtype!r}: expected auto, {', '.join(DTYPES)}")
    return DTYPES.get(dtype, "auto")


def load_model(
    spec: ReaderSpec, dtype: torch.dtype | str, trust_remote_code: bool = False
) -> PreTrainedModel:
    """The model as transformers loads it, on the CPU; ReaderError (one line) where it cannot be."""
    _check_folder(spec)
    if spec.needs_remote_code and not trust_remote_code:
        raise ReaderError(
            f"{spec.name} runs code from its repository{f' ({spec.note})' if spec.note else ''}: read it, "
            "then pass --trust-remote-code"
        )

    def read(source: str, **options: Any) -> Any:
        options["trust_remote_code"] = trust_remote_code
        if not spec.packaged and AutoConfig.from_pretrained(source, **options).is_encoder_decoder:
            raise ReaderError(f"{source} is an encoder-decoder: expected a causal language model")
        return AutoModelForCausalLM.from_pretrained(
            source, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )

    with no_bars_in_a_log(), _one_line(spec, "model", trust_remote_code):
        loaded = _read_from(spec.path, spec, read)
    model, report = loaded
    _check_weights(spec, report)
    if _is_remote(model):
        _keep_whole_names(model)
    if _looks_ahead(model):
        raise ReaderError(
            f"{spec.path} reads in both directions ({type(model).__name__}): expected a causal language model"
        )
    return model


def _looks_ahead(model: Any) -> bool:
    """Whether the model is a BERT or its kin, made no decoder. GPT-NeoX's configuration says the same of a decoder,
    but none of its layers does."""
    layers = any(getattr(module, "is_decoder", None) is False for module in model.modules())
    return layers and getattr(model.config, "is_decoder", None) is False


def _is_remote(model: PreTrainedModel) -> bool:
    return type(model).__module__.startswith(REMOTE_CODE)


def _keep_whole_names(model: PreTrainedModel) -> None:
    """Parameters that transformers 5 loads in float32 beside float16, since a name that is to be kept so is a part of
    theirs (Finch's `time_decay_w1` of `time_decay`), in the model's precision. Code written for transformers 4, which
    compared whole names, multiplies them with float16."""
    kept = {*(model._keep_in_fp32_modules or ()), *(model._keep_in_fp32_modules_strict or ())}
    if not kept or model.config.dtype is not torch.float16:
        return
    whole = re.compile(rf"(^|\.)({'|'.join(kept)})(\.|$)")
    for name, parameter in model.named_parameters():
        if parameter.dtype is torch.float32 and not whole.search(name):
            parameter.data = parameter.data.half()


def _check_weights(spec: ReaderSpec, report: dict[str, Any]) -> None:
    """ReaderError where transformers would go on with tensors that it made up."""
    if report["mismatched_keys"]:
        name, found, wanted = min(report["mismatched_keys"])
        raise ReaderError(
            f"the weights in {spec.path} are not those of its config.json: {name} is {list(found)} and should be "
            f"{list(wanted)}"
        )
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise ReaderError(
            f"incomplete weights in {spec.path}: {len(missing)} tensors missing, the first is {missing[0]}"
        )


def load_tokenizer(spec: ReaderSpec, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The reader's tokenizer alone, to count with before weights are read; ReaderError if it is missing."""
    _check_folder(spec)
    source = spec.tokenizer or spec.path

    def read(source: str, **options: Any) -> PreTrainedTokenizerBase:
        if spec.packaged:
            # AutoTokenizer reads the whole file with a slow reader first, only to learn the model's family
            return PreTrainedTokenizerFast.from_pretrained(source, **options)
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=trust_remote_code, **options)
        if len(tokenizer) == len(tokenizer.get_added_vocab()):
            # some families get a tokenizer of special tokens alone, without a word, where the files are missing
            raise ReaderError(f"no tokenizer in {source}: expected tokenizer.json")
        return tokenizer

    with no_bars_in_a_log(), _one_line(spec, "tokenizer", trust_remote_code):
        tokenizer = _read_from(source, spec, read)
    _check_no_answer(tokenizer, spec)
    _check_chat(tokenizer, spec)
    return tokenizer


def _check_folder(spec: ReaderSpec) -> None:
    """ReaderError for a folder that holds no reader: transformers would say so of a tokenizer's five file names."""
    folder = Path(spec.path)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise ReaderError(
            f"no reader in {folder}: expected config.json, model.safetensors and tokenizer.json"
        )


def _read_from(source: str, spec: ReaderSpec, read: Callable[..., Loaded]) -> Loaded:
    """`read` from an installed package, a folder, the hub's cache, or at last the hub itself, which is asked
    first whether it is there."""
    if spec.packaged:
        file = weights_file(spec)
        return read(str(file.parent), gguf_file=file.name)
    revision = (spec.revision if source == spec.path else None) or "main"
    if Path(source).is_dir():
        return read(source, revision=revision)
    try:
        return read(source, revision=revision, local_files_only=True)
    except Exception as problem:  # whatever the cache lacks: if it is more than that, the second try says so
        try:
            huggingface_hub.HfApi().model_info(source, revision=revision, timeout=HUB_SECONDS)
        except Exception:
            if isinstance(problem, OSError):  # a file that the cache lacks
                raise
            raise problem from None
    return read(source, revision=revision)


def _check_no_answer(tokenizer: PreTrainedTokenizerBase, spec: ReaderSpec) -> None:
    """The ids that OPRM's authors published for the no-answer word are this tokenizer's, or it is another."""
    if not spec.no_answer_ids:
        return
    spellings = (spec.no_answer, " " + spec.no_answer)
    ids = {tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in spellings}
    if not set(spec.no_answer_ids) <= ids:
        raise ReaderError(
            f"the tokenizer of {spec.name} spells {spec.no_answer!r} {sorted(ids)}, where OPRM's authors publish "
            f"{sorted(spec.no_answer_ids)}: expected their tokenizer (see no_answer_ids in models/specs.py)"
        )


def _check_chat(tokenizer: PreTrainedTokenizerBase, spec: ReaderSpec) -> None:
    """ReaderError for a chat template that cannot word a prompt, before anything is asked in it."""
    try:
        Tokens(tokenizer, spec, frozenset()).encode("text", chat=True)
    except Exception as error:  # whatever a template raises
        raise ReaderError(
            f"the chat template of {spec.tokenizer or spec.path} fails on a single user turn "
            f"({_first_line(error)}): expected one that words it, or none"
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextmanager
def no_bars_in_a_log() -> Iterator[None]:
    """transformers' progress bars and the hub's, which it switches with its own, off while stderr is no terminal
    (a log keeps every frame), and afterwards as they were."""
    if sys.stderr.isatty() or not logging.is_progress_bar_enabled():
        yield
        return
    hubs_are_off = huggingface_hub.utils.are_progress_bars_disabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()
        if hubs_are_off:
            huggingface_hub.utils.disable_progress_bars()


@contextmanager
def _one_line(spec: ReaderSpec, part: str, trusted: bool) -> Iterator[None]:
    """transformers explains in paragraphs why something did not load; the first sentence and what to do are
    enough."""
    try:
        yield
    except ReaderError:
        raise
    except RevisionNotFoundError as error:
        raise ReaderError(
            f"{spec.path} has no revision {spec.revision!r}: expected a commit, branch or tag of its repository"
        ) from error
    except Exception as error:
        reason = _first_line(error)
        if "trust_remote_code" in str(error):
            reason = "it needs code from its repository: read it, then pass --trust-remote-code"
        elif "backend tokenizer" in str(error):
            reason = "its files are not there, expected tokenizer.json"
        elif trusted and isinstance(error, OUTDATED) and "pip install" not in reason:
            reason += (
                f" (its code is not for transformers {transformers.__version__}: mend it in a local copy)"
            )
        elif not spec.packaged and not Path(spec.path).is_dir():
            reason += " (not a folder here; from the hub it needs a network or a filled cache)"
        raise ReaderError(f"cannot load the {part} of {spec.path}: {reason}") from error


def _kernel(model: PreTrainedModel, place: torch.device, allow_slow: bool) -> str:
    """The Mamba scan that will run; attaches ours on a CPU. "remote" is code from the repository, which a record's key
    tells from transformers' own of the same name."""
    plain = "remote" if _is_remote(model) else "torch"
    if place.type == "cpu":
        choose_by_device(model)
        few_rows.attach(model)
        ours = cpu_mamba.attach(model)
        if ours:
            return_large_blocks(model.config.hidden_size)
        attached = ours + cpu_mamba2.attach(model) + cpu_rglru.attach(model)
        return "numba" if attached else plain
    if not any(hasattr(module, "A_log") and hasattr(module, "D") for module in model.modules()):
        return plain
    missing = [f"{package} ({reason})" for package in CUDA_KERNELS if (reason := _obstacle(package))]
    if missing and not allow_slow:
        raise ReaderError(
            f"cannot import {' and '.join(missing)}: without them a Mamba on CUDA falls back to a slow scan; "
            "install the cuda extra (pip install -U --no-build-isolation mamba-ssm causal-conv1d)"
        )
    return plain if missing else "cuda"


def _obstacle(package: str) -> str | None:
    """Why a compiled package cannot be imported: transformers falls back without a word, also where it is there
    and of another version."""
    try:
        importlib.import_module(package)
    except Exception as problem:
        return _first_line(problem)
    return None
