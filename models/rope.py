"""YaRN (Peng et al. 2024, arXiv 2309.00071) for a transformer that is already loaded: the rotary frequencies that
transformers itself computes for ``rope_type="yarn"``, put in place for a while.

    python -m pytest tests/models/test_rope.py
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from models.specs import ReaderError


@contextmanager
def yarn(model: Any, factor: float, trained: int) -> Iterator[None]:
    """`model` reads and decodes up to `factor` times the `trained` positions inside the block, and is then as it was.

    ReaderError for a reader without plain rotary positions (one that is scaled already is not scaled twice)."""
    parts = check(model)
    before = [(part, part.inv_freq, part.attention_scaling) for part in parts]
    config = copy.deepcopy(parts[0].config)
    config.rope_parameters = {
        **config.rope_parameters,
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": trained,
    }
    frequencies, scaling = ROPE_INIT_FUNCTIONS["yarn"](config)
    try:
        for part in parts:
            part.inv_freq, part.attention_scaling = frequencies.to(part.inv_freq.device), scaling
        yield
    finally:
        for part, own, attention in before:
            part.inv_freq, part.attention_scaling = own, attention


def check(model: Any) -> list[Any]:
    """The model's rotary modules. ReaderError if it has none, or others than the plain ones."""
    parts: list[Any] = [module for module in model.modules() if hasattr(module, "original_inv_freq")]
    kinds = {str(getattr(part, "rope_type", "of its own kind")) for part in parts}
    if kinds != {"default"}:
        found = f"{' and '.join(sorted(kinds))} ones" if kinds else "none"
        raise ReaderError(
            f"YaRN stretches plain rotary positions, and a {model.config.model_type} reader has {found}: "
            "expected a transformer such as SmolLM2 or Qwen2.5"
        )
    return parts
