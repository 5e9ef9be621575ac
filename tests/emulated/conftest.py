"""The Python of mamba-ssm and causal-conv1d on a CPU. Everything in this folder is skipped, with the reason, unless
``make test-emulated`` runs it."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
WANTED = ("triton", "einops", "mamba_ssm", "causal_conv1d")
COMPILED = ("selective_scan_cuda", "causal_conv1d_cuda")  # where they are, the kernels themselves can run
READY = (
    os.environ.get("TRITON_INTERPRET") == "1"
    and all(map(find_spec, WANTED))
    and not any(map(find_spec, COMPILED))
)

if READY:  # here, since transformers looks for the packages as soon as it is imported
    from tests.emulated import interpreter, stand_ins

    interpreter.mend()
    stand_ins.install()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if READY:
        return
    skip = pytest.mark.skip(reason="needs the packages without their compiled parts: make test-emulated")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(skip)
