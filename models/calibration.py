"""What was measured of a reader before it answers, in a file of its own, and the reader that it belongs to.

A calibration is a frozen dataclass of tensors (the fields of type Tensor) and of facts that JSON can hold, among them
`model`, the `fingerprint` of its reader. `made_by` names the program that makes such files.

    python -m pytest tests/models/test_calibration.py
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.delta import mixers
from models.specs import ReaderError


class Measured(Protocol):
    """The part of a calibration that does not depend on what was measured."""

    made_by: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def model(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def seconds(self) -> float: ...


Kind = TypeVar("Kind", bound=Measured)


def fingerprint(model: Any) -> str:
    """Sixteen hex digits over what makes the steps: every mixer's own A, D and bias, as loaded."""
    total = hashlib.sha256()
    for mixer in mixers(model):
        bias = mixer.dt_bias if hasattr(mixer, "dt_bias") else mixer.dt_proj.bias
        for weight in (mixer.A_log, mixer.D, bias):
            total.update(f"{tuple(weight.shape)} {weight.dtype}\0".encode())
            total.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()[:16]


def check(model: Any, calibration: Measured) -> None:
    """ReaderError unless the calibration is this model's."""
    if calibration.model != fingerprint(model):
        raise ReaderError(
            "the calibration was made for another model or precision: make one with python -m "
            f"{calibration.made_by} calibrate --model ..."
        )


def save(calibration: Measured, path: Path) -> None:
    """As one safetensors file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors, facts = _names(type(calibration))
    unfinished = path.with_suffix(f".{os.getpid()}.part")  # several workers may calibrate at a time
    save_file(
        {name: getattr(calibration, name).contiguous() for name in tensors},
        unfinished,
        metadata={name: json.dumps(getattr(calibration, name)) for name in facts},
    )
    unfinished.replace(path)


def load(kind: type[Kind], path: Path) -> Kind:
    """ReaderError for a file that is not there or is no calibration of that kind."""
    tensors, facts = _names(kind)
    expected = f"expected a file of {kind.made_by} calibrate"
    try:
        with safe_open(path, framework="pt") as file:
            read = {name: json.loads(file.metadata()[name]) for name in facts}
            values = {name: file.get_tensor(name) for name in tensors}
    except FileNotFoundError:
        raise ReaderError(f"no calibration at {path}: {expected}") from None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        raise ReaderError(f"{path} is no calibration: {expected}") from None
    made: Any = kind
    return made(**values, **{name: tuple(v) if isinstance(v, list) else v for name, v in read.items()})


def _names(kind: type[Measured]) -> tuple[list[str], list[str]]:
    """The names of the tensors and of the facts."""
    every = fields(kind)
    tensors = [field.name for field in every if field.type == "Tensor"]
    return tensors, [field.name for field in every if field.name not in tensors]
