"""Readers of random weights in the shape of published ones: speed and memory do not depend on what the
weights are, so that a machine without a hub can measure them.

Sizes are those of the published configurations. The tokenizer is the embedded model's, whose ids every
vocabulary here holds. Exercised by ``python -m models.efficiency --random mamba-130m``.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from models.specs import ReaderError

Shape = dict[str, Any]


def _mamba(hidden: int, layers: int) -> Shape:
    return {"model_type": "mamba", "vocab_size": 50280, "hidden_size": hidden, "num_hidden_layers": layers}


def _mamba2(hidden: int, layers: int) -> Shape:
    heads = {"num_heads": hidden * 2 // 64, "head_dim": 64, "n_groups": 1, "state_size": 128}
    other = {"model_type": "mamba2", "vocab_size": 50288, "tie_word_embeddings": True}
    return _mamba(hidden, layers) | other | heads


FALCON_MAMBA: Shape = {
    "model_type": "falcon_mamba",
    "vocab_size": 65024,
    "hidden_size": 4096,
    "num_hidden_layers": 64,
    "time_step_rank": 256,
    "tie_word_embeddings": False,
}
SHAPES: dict[str, Shape] = {
    "mamba-130m": _mamba(768, 24),
    "mamba-370m": _mamba(1024, 48),
    "mamba-790m": _mamba(1536, 48),
    "mamba-1.4b": _mamba(2048, 48),
    "mamba-2.8b": _mamba(2560, 64),
    "mamba2-130m": _mamba2(768, 24),
    "mamba2-1.3b": _mamba2(2048, 48),
    "mamba2-2.7b": _mamba2(2560, 64),
    "falcon-mamba-7b": FALCON_MAMBA,
}


def find_shape(name: str) -> Shape:
    """The sizes of a named shape; ReaderError with the nearest match for an unknown one."""
    if name in SHAPES:
        return SHAPES[name]
    near = difflib.get_close_matches(name, SHAPES, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"known shapes: {', '.join(SHAPES)}"
    raise ReaderError(f"unknown shape {name!r}: {hint}")


def write_random_reader(shape: Shape, folder: Path, *, dtype: str, device: str) -> None:
    """A reader of that shape in `folder`, as `Engine.load` opens it; the same weights every time.

    The weights are drawn on `device` in `dtype` ("float16", "float32", ...)."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from models.loading import load_tokenizer
    from models.specs import reader_spec

    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        config = AutoConfig.for_model(**shape, eos_token_id=0, bos_token_id=0, pad_token_id=0)
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    model.save_pretrained(folder)
    load_tokenizer(reader_spec("tiny")).save_pretrained(folder)
