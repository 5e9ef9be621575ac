"""Processes that end with the one that started them. Torch-free.

Exercised by ``pytest tests/models/test_processes.py``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def die_with(driver: int) -> None:
    """Have the kernel kill this process with `driver`, its parent, even in the middle of a torch call."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != driver:
        os._exit(1)
