"""What methods share that measure a reader before they answer: where the files are kept, which one is the reader's,
and the windows of text that it is measured on.

Files lie in ~/.cache/run-compare/METHOD (or $XDG_CACHE_HOME), each under a digest of the model and one of the text.
Exercised by ``python -m methods.longmamba calibrate`` and ``python -m methods.upi calibrate``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchmarks.base import digest

if TYPE_CHECKING:
    from models.engine import Engine


class Measured(Protocol):
    """What a file holds: the digests of the model and of the text that it was measured with, and more."""

    @property
    def model(self) -> str: ...
    @property
    def text(self) -> str: ...


def folder(method: str) -> Path:
    """Where the calibrations of a method are kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "run-compare" / method


def stored(method: str, engine: Engine) -> Path:
    """The one file in the method's folder that is the reader's. ValueError where there is none, or several."""
    from models.calibration import fingerprint

    found = sorted(folder(method).glob(f"{fingerprint(engine.model)}-*.safetensors"))
    if len(found) != 1:
        listed = ", ".join(file.name for file in found) or "none"
        raise ValueError(
            f"{listed} in {folder(method)} where one calibration of {engine.spec.name} was expected: give "
            f"calibration=FILE, or make one: python -m methods.{method} calibrate --model {engine.spec.name}"
        )
    return found[0]


def check_source(calibration: Path | None, text: Path | None) -> None:
    """ValueError where a method is given both files, or a text that is not there."""
    if calibration is not None and text is not None:
        raise ValueError("calibration=FILE and text=FILE both say how the reader is calibrated: give one")
    if text is not None and not text.is_file():
        raise ValueError(f"text={text} is not there: expected a text file to calibrate on")


def key_part(measured: Measured) -> dict[str, str]:
    """A calibration as one of a method's `weights`, by the digests of its model and text."""
    return {"calibration": f"{measured.model}-{measured.text}"}


def text_key_part(text: Path) -> dict[str, str]:
    """The same where it is still to be made."""
    return {"calibration text": digest(text.read_text(encoding="utf-8"))}


def even_windows(engine: Engine, text: str, length: int, count: int) -> list[list[int]]:
    """`count` windows of `length` ids at even spacing through the text; they overlap where it is short.

    ValueError for a text that is shorter than a window."""
    ids = engine.encode(text)
    if len(ids) < length:
        raise ValueError(
            f"the calibration text has {len(ids)} tokens: expected at least one window of {length} tokens"
        )
    starts = [(len(ids) - length) * place // max(1, count - 1) for place in range(count)]
    return [ids[start : start + length] for start in starts]
