"""What this machine can run, a finding a line: packages, devices, kernels, memory, readers, what is not installed.

What has to be imported for that is imported elsewhere (`comparison.probes`): this file needs the standard library
alone, as it is asked where the rest may be missing. Nothing is downloaded.
Exercised by ``python run_compare.py doctor``.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from comparison.probes import CHECKOUT, CUDA_KERNELS, GIB, INSTALL, PROBES, Finding, collect, start
from comparison.provenance import machine
from models.packaged import weights_file
from models.specs import READERS, ReaderError, reader_spec

PYTHON = (3, 11)
EMBEDDED = "tiny"
ONE_IS_ENOUGH = {"faiss-gpu": "faiss-cpu", "faiss-cpu": "faiss-gpu"}


def diagnose() -> int:
    """Print every finding; 0 where the embedded reader can run, 1 where it cannot."""
    started = time.perf_counter()
    version = sys.version_info[: len(PYTHON)]
    python = Finding("python", "ok" if version >= PYTHON else "missing", platform.python_version())
    if python.bad:
        print(f"{python}: 3.11 or newer is needed, try make PYTHON=python3.12")
        return 1
    probes = {name: start(name) for name in PROBES}
    own = [python, _machine(), packages(), *disks(), *memory()]
    probed = {name: collect(name, process, started) for name, process in probes.items()}
    needed = [*own, *probed["torch"], *probed["kernels"]]
    readers = [embedded(needed), *others()]
    findings = [*own, *(one for found in probed.values() for one in found), *extras(), *readers]
    print("\n".join(map(str, findings)))
    return 1 if readers[0].bad else 0


def embedded(needed: Iterable[Finding]) -> Finding:
    """Whether the reader that comes with the suite can run, from the findings that it depends on."""
    lacking = [one.name for one in needed if one.bad and one.name not in CUDA_KERNELS]
    folder = Path(reader_spec(EMBEDDED).path)
    lacking += [file for file in ("config.json", "model.safetensors") if not (folder / file).is_file()]
    if lacking:
        return Finding(
            f"reader {EMBEDDED}", "missing", f"needs {', '.join(lacking)}: see above, or run make test"
        )
    return Finding(f"reader {EMBEDDED}", "ok", f"in {folder}")


# What can be known without importing anything


def _machine() -> Finding:
    known = machine()
    return Finding("machine", "ok", f"{known['cpus']} cores, {known['processor']}, {known['system']}")


def requirements() -> Mapping[str, Sequence[str]]:
    """What the suite cannot do without, under "", and what each extra needs: from pyproject.toml, or as installed
    where there is no checkout."""
    import tomllib  # not there before Python 3.11

    installed = next(iter(metadata.distributions(name="run-compare")), None)
    if CHECKOUT.is_file() or not installed:
        project = tomllib.loads(CHECKOUT.read_text(encoding="utf-8"))["project"]
        return {"": project["dependencies"], **project["optional-dependencies"]}
    found: dict[str, list[str]] = {}
    for line in installed.requires or ():
        requirement, _, extra = line.partition("; extra == ")
        found.setdefault(extra.strip("\"'"), []).append(requirement)
    return found


def packages() -> Finding:
    """What the suite cannot do without."""
    here, lacking = standing(requirements()[""])
    if lacking:
        return Finding("packages", "missing", f"{', '.join(lacking)}: {INSTALL} .")
    return Finding("packages", "ok", ", ".join(here))


def extras() -> Iterator[Finding]:
    """The optional parts, each with the line that installs it. Those of CUDA have findings of their own."""
    stands = {name: standing(wanted) for name, wanted in requirements().items() if name not in ("", "cuda")}
    for name, (here, lacking) in stands.items():
        other = ONE_IS_ENOUGH.get(name)
        if not lacking:
            yield Finding(f"extra {name}", "ok", ", ".join(here))
        elif other in stands and not stands[other][1]:
            yield Finding(f"extra {name}", "note", f"not needed beside {other}")
        else:
            yield Finding(f"extra {name}", "missing", f"{', '.join(lacking)}: {INSTALL} '.[{name}]'")


def standing(requirements: Iterable[str]) -> tuple[list[str], list[str]]:
    """Of requirements as in pyproject.toml ("name>=1,<2"): those that are met, and those that are not."""
    here: list[str] = []
    lacking: list[str] = []
    for requirement in requirements:
        name = re.split(r"[\[<>=!~ ]", requirement, maxsplit=1)[0]
        if name == "run-compare":
            continue
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            lacking.append(f"{name} not installed")
            continue
        bounds = re.findall(r"(>=|<)\s*([\d.]+)", requirement)
        good = all((_numbers(version) >= _numbers(limit)) == (sign == ">=") for sign, limit in bounds)
        (here if good else lacking).append(
            f"{name} {version}" + ("" if good else f" where {requirement} was expected")
        )
    return here, lacking


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, without zeros at the end: 2.13.0+cpu is (2, 13)."""
    numbers = [int(part) for part in re.findall(r"\d+", version)[:3]]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def memory(known: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> Iterator[Finding]:
    """What the kernel would still give, or the container's limit where that is less."""
    try:
        text = known.read_text()
        free = int(re.findall(r"MemAvailable:\s+(\d+) kB", text)[0]) * 1024
        files = [group / name for name in ("memory.max", "memory.current")]
        limit, used = (path.read_text().strip() if path.is_file() else "max" for path in files)
        if limit != "max":
            free = min(free, int(limit) - int(used))
    except (OSError, IndexError, ValueError):
        return
    yield Finding("memory", "ok", f"{free / GIB:.1f} GiB free")


def disks() -> Iterator[Finding]:
    """The room where run folders and downloaded readers go."""
    for name, folder in (("disk of runs/", Path("runs")), ("disk of hub readers", hub_cache())):
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
        free = shutil.disk_usage(there).free / GIB
        if str(folder).startswith("~"):
            yield Finding(name, "note", "no home directory: set HF_HOME to a folder")
        elif os.access(there, os.W_OK):
            yield Finding(name, "ok", f"{free:.1f} GiB free in {folder}")
        else:
            yield Finding(name, "note", f"{there} cannot be written to: name another place")


def hub_cache() -> Path:
    """Where the hub's client keeps what it downloaded."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{cache}/huggingface"
    return Path(os.path.expanduser(os.environ.get("HF_HUB_CACHE") or f"{home}/hub"))


def others() -> Iterator[Finding]:
    """The other readers that are at hand, then how many are not."""
    absent = 0
    for spec in (one for one in READERS if one.name != EMBEDDED):
        if spec.packaged:
            try:
                yield Finding(f"reader {spec.name}", "ok", str(weights_file(spec)))
            except ReaderError as problem:
                yield Finding(f"reader {spec.name}", "missing", str(problem))
        elif cached := _weights(hub_cache() / f"models--{spec.path.replace('/', '--')}"):
            yield Finding(f"reader {spec.name}", "ok", f"in {cached}")
        else:
            absent += 1
    yield Finding("readers of the hub", "note", f"{absent} more are named by --list, not in {hub_cache()}")


def _weights(repository: Path) -> Path | None:
    """The folder of a repository in the hub's cache that holds a configuration and weights."""
    found = (path.parent for path in repository.glob("snapshots/*/config.json"))
    return next((one for one in found if any(one.glob("*.safetensors")) or any(one.glob("*.bin"))), None)
