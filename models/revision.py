"""A local model's revision: a hash of what its folder holds, taken when it is loaded.

Torch-free. Exercised by ``pytest tests/models/test_revision.py``.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

WHOLE_FILE = 64 << 20
"""A weights file up to this size is hashed whole, a larger one by its size and samples."""
ENDS = 1 << 20
SAMPLE = 4 << 10
SAMPLES = 1000
LOCAL = "local-"


def folder_revision(folder: Path) -> str:
    """A local model's revision: sixteen hex digits over its weights, configuration, tokenizer and chat template
    files, and over its code where a configuration names any (``auto_map``)."""
    suffixes = {".json", ".safetensors", ".bin", ".model", ".txt", ".tiktoken", ".jinja"}
    if any(b'"auto_map"' in path.read_bytes() for path in folder.glob("*config.json")):
        suffixes.add(".py")
    files = sorted(path for path in folder.rglob("*") if path.suffix in suffixes and path.is_file())
    total = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        total.update(f"\0{path.name}\0{size}\0".encode())
        for piece in _content(path, size):
            total.update(piece)
    return f"{LOCAL}{total.hexdigest()[:16]}"


def _content(path: Path, size: int) -> Iterator[bytes]:
    """The file's bytes, or samples: hashing 14 GB of weights at every start would take a minute. A change of a few
    values inside of one tensor may stay unseen."""
    with path.open("rb", buffering=0) as file:
        places = [(0, size)]
        if size > WHOLE_FILE:
            places = (path.suffix == ".safetensors" and _in_every_tensor(file, size)) or _evenly(size)
        for start, length in places:
            file.seek(start)
            yield file.read(length)


def _in_every_tensor(file: io.FileIO, size: int) -> list[tuple[int, int]]:
    """Of a safetensors file the header, then the beginning, middle and end of every tensor, each as a start and a
    length; nothing where the header is none (the reader is refused when it is loaded)."""
    data = 8 + int.from_bytes(file.read(8), "little")
    try:
        header = json.loads(file.read(data - 8)) if data <= size else {}
        ends = sorted(one["data_offsets"] for name, one in header.items() if name != "__metadata__")
        spans = [range(data + start, data + end) for start, end in ends]
    except (ValueError, TypeError, KeyError, AttributeError):
        return []
    places = [
        place
        for span in spans
        for place in (span.start, (span.start + span.stop - SAMPLE) // 2, span.stop - SAMPLE)
    ]
    return [(0, data), *((min(max(0, place), size), SAMPLE) for place in places)] if places else []


def _evenly(size: int) -> list[tuple[int, int]]:
    """Both ends of a file (PyTorch's has the checksums of its tensors at the end), and samples at even spacing."""
    places = range(ENDS, size - ENDS, (size - 2 * ENDS) // SAMPLES)
    return [(0, ENDS), (size - ENDS, ENDS), *((place, SAMPLE) for place in places)]
