"""What methods share that measure a reader before they answer: where the files are kept, which one is the reader's,
what a record says of it, and the windows of text that it is measured on.

Files lie in ~/.cache/run-compare/METHOD (or $XDG_CACHE_HOME), each under a digest of the model and one of the text.
Exercised by ``python -m methods.longmamba calibrate`` and ``python -m methods.upi calibrate``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.base import digest

if TYPE_CHECKING:
    from models.calibration import Kind, Measured
    from models.engine import Engine


def folder(method: str) -> Path:
    """Where the calibrations of a method are kept. ValueError for a user without a home."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if cache == "~/.cache":
        raise ValueError("no home directory to keep calibrations in: set XDG_CACHE_HOME to a folder")
    return Path(cache) / "run-compare" / method


def file_of(kind: type[Measured], model: str, text: str) -> Path:
    """Where the calibration of a model on a text is kept, by their digests."""
    return folder(kind.made_by.removeprefix("methods.")) / f"{model}-{text}.safetensors"


def check_source(calibration: Path | None, text: Path | None) -> None:
    """ValueError where a method is given both files, or a text that is not there."""
    if calibration is not None and text is not None:
        raise ValueError("calibration=FILE and text=FILE both say how the reader is calibrated: give one")
    if text is not None and not text.is_file():
        raise ValueError(f"text={text} is not there: expected a text file to calibrate on")


def read(kind: type[Kind], engine: Engine, file: Path | None) -> Kind:
    """The calibration in `file`, or in the one file in the cache that is the reader's.

    ValueError where there is none, or several, and for a file that is another reader's."""
    from models.calibration import check, fingerprint, load

    if file is None:
        place = file_of(kind, fingerprint(engine.model), "*")
        found = sorted(place.parent.glob(place.name))
        if len(found) != 1:
            listed = ", ".join(one.name for one in found) or "none"
            make = f"make one: python -m {kind.made_by} calibrate --model {engine.spec.name}"
            raise ValueError(
                f"{listed} in {place.parent} where one calibration of {engine.spec.name} was expected: give "
                f"calibration=FILE, or {'delete all but one' if found else make}"
            )
        file = found[0]
    calibration = load(kind, file)
    check(engine.model, calibration)
    return calibration


def cached(kind: type[Kind], engine: Engine, source: str, measure: Callable[[], Callable[..., Kind]]) -> Kind:
    """The calibration of the reader on `source`, the digest of a text and of settings: from the cache, or measured
    and kept there. What `measure` returns makes it of the digests and the seconds."""
    from models.calibration import fingerprint, load, save

    model = fingerprint(engine.model)
    path = file_of(kind, model, source)
    if path.is_file():
        return load(kind, path)
    started = time.perf_counter()
    made = measure()(model=model, text=source, seconds=time.perf_counter() - started)
    save(made, path)
    return made


def weights_of(source: Measured | Path) -> dict[str, str]:
    """One of a method's `weights`: a calibration, by its digests, or the text that it will be made from."""
    if isinstance(source, Path):
        return {"calibration text": digest(read_text(source))}
    return {"calibration": file_of(type(source), source.model, source.text).stem}


def details_of(measured: Measured) -> dict[str, Any]:
    """What a record's details say of a calibration."""
    return weights_of(measured) | {"calibration_seconds": round(measured.seconds, 3)}


def read_text(path: Path) -> str:
    """A text to calibrate on. ValueError where the file cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as problem:
        raise ValueError(f"cannot read the calibration text {path}: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        raise ValueError(f"the calibration text {path} is not UTF-8 (byte {problem.start})") from problem


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
