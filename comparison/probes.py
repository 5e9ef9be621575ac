"""What a machine only shows when it is tried: imports, devices, kernels, the hub; each in a process of its own.

All of them run at the same time, so that a package that is broken, slow or crashes is a finding of `comparison.doctor`
and no more. Exercised by ``python run_compare.py doctor``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module, util
from typing import Any

from comparison.provenance import ROOT

GIB = 1 << 30
CUDA_KERNELS = ("mamba_ssm", "causal_conv1d")
CHECKOUT = ROOT / "pyproject.toml"
INSTALL = ("" if CHECKOUT.is_file() else "in a checkout: ") + "pip install -c constraints.txt -e"
IMPORT_SECONDS = 120.0
HUB_SECONDS = 3.0
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


@dataclass(frozen=True)
class Finding:
    """One line: what it is about, how it stands ("ok", "missing" or "note") and what to know or do."""

    name: str
    state: str
    text: str

    @property
    def bad(self) -> bool:
        return self.state == "missing"

    def __str__(self) -> str:
        return f"{self.name:22} {self.state:8} {' '.join(self.text.split())}"


def probe_torch() -> Iterator[Finding]:
    """torch and transformers, the devices, and the kernels that a Mamba needs on CUDA."""
    import torch

    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "a CPU build"
    yield Finding("torch", "ok", f"{torch.__version__}, {built}, {torch.get_num_threads()} threads")
    import_module("transformers")
    there = torch.cuda.is_available()
    for number in range(torch.cuda.device_count() if there else 0):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        yield Finding(
            "cuda", "ok", f"device {number}, {name}: {free / GIB:.1f} of {total / GIB:.1f} GiB free"
        )
    if not there:
        why = "see nvidia-smi" if torch.version.cuda else "this torch cannot use one"
        yield Finding("cuda", "note", f"no device, readers run on the CPU ({why})")
    for package in CUDA_KERNELS:
        state, need = ("missing", "needed by a Mamba") if there else ("note", "needed on CUDA alone")
        install = f"{INSTALL} '.[cuda]' --no-build-isolation (compiles with nvcc)"
        if util.find_spec(package) is None:
            yield Finding(package, state, f"not installed, {need}: {install}")
            continue
        try:
            yield Finding(package, "ok", str(getattr(import_module(package), "__version__", "imports")))
        except Exception as problem:
            yield Finding(package, state, f"{broken(problem)}; {need}, install it again: {install}")


def probe_kernels() -> Iterator[Finding]:
    """Whether numba compiles for this CPU (the convolution, the smallest kernel), and where it keeps kernels."""
    import numba

    from models.compiling import build
    from models.scan_kernels import conv

    started = time.perf_counter()
    kernel: Any = build(conv, "32133")
    seconds = time.perf_counter() - started
    yield Finding("numba", "ok", f"{numba.__version__}, a kernel is ready after {seconds:.1f} s")
    cache = kernel.stats.cache_path  # None where there is no folder to write to
    if cache and os.access(cache, os.W_OK):
        yield Finding("numba's cache", "ok", cache)
    else:
        advice = "set NUMBA_CACHE_DIR to a folder"
        yield Finding("numba's cache", "note", f"cannot be written, so that every run compiles: {advice}")


def probe_faiss() -> Iterator[Finding]:
    """The index behind dense retrieval; exact search without it."""
    if util.find_spec("faiss") is None:
        yield Finding("faiss", "note", "not installed, dense retrieval searches with torch")
        return
    faiss = import_module("faiss")
    gpus = faiss.get_num_gpus()
    yield Finding("faiss", "ok", f"{faiss.__version__}, {f'{gpus} GPUs' if gpus else 'on the CPU'}")


def probe_ray() -> Iterator[Finding]:
    """What --executor ray runs on."""
    if util.find_spec("ray") is None:
        yield Finding("ray", "note", f"not installed, needed by --executor ray: {INSTALL} '.[ray]'")
    else:
        yield Finding("ray", "ok", import_module("ray").__version__)


def probe_hub() -> Iterator[Finding]:
    """Whether the hub answers at all; nothing is fetched."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    here = "readers and data have to be on the disk"
    if said := [name for name in OFFLINE if os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")]:
        yield Finding("hub", "note", f"not asked, {said[0]} is set: {here}")
        return
    address = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    try:
        urlopen(Request(address, method="HEAD"), timeout=HUB_SECONDS)
        yield Finding("hub", "ok", f"{address} answers")
    except HTTPError as answer:
        yield Finding("hub", "ok", f"{address} answers (with status {answer.code})")
    except (OSError, ValueError) as problem:
        yield Finding("hub", "note", f"{address} does not answer ({problem}): {here}")


PROBES: dict[str, tuple[Callable[[], Iterator[Finding]], float, str]] = {
    "torch": (probe_torch, IMPORT_SECONDS, "missing"),
    "kernels": (probe_kernels, IMPORT_SECONDS, "missing"),
    "faiss": (probe_faiss, IMPORT_SECONDS, "note"),
    "ray": (probe_ray, IMPORT_SECONDS, "note"),
    "hub": (probe_hub, HUB_SECONDS + 1, "note"),
}
"""What finds out, how long it may take from the beginning, and how it stands if that goes wrong."""


def start(name: str) -> subprocess.Popen:
    """Begin a probe."""
    code = f"from comparison.probes import run_probe; run_probe({name!r})"
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    )


def run_probe(name: str) -> None:
    """In the probe's process: print its findings as fields with tabs between, then what went wrong."""
    probe, _, otherwise = PROBES[name]
    try:
        for one in probe():
            print(one.name, one.state, one.text, sep="\t", flush=True)
    except Exception as problem:
        print(name, otherwise, broken(problem), sep="\t", flush=True)


def collect(name: str, process: subprocess.Popen, started: float) -> list[Finding]:
    """The findings of a probe; one more where it crashed or took too long."""
    _, seconds, otherwise = PROBES[name]
    try:
        out, _ = process.communicate(timeout=max(0.1, started + seconds - time.perf_counter()))
        end = "" if process.returncode == 0 else f"crashes with status {process.returncode}"
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate()
        end = f"no answer within {seconds:.0f} seconds"
    rows = [line.split("\t") for line in out.splitlines() if line.count("\t") == 2]
    found = [Finding(*row) for row in rows]
    return [*found, Finding(name, otherwise, end)] if end else found


def broken(problem: BaseException) -> str:
    """An import that raised, in one line."""
    return f"does not work ({type(problem).__name__}: {' '.join(str(problem).split())[:200]})"
