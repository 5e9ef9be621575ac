"""Processes that end with the one that started them, and on Ctrl-C without a word. Torch-free.

Exercised by ``pytest tests/models/test_processes.py``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from typing import Any

DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def die_with(driver: int) -> None:
    """Have the kernel kill this process with `driver`, its parent, even in the middle of a torch call."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != driver:
        os._exit(1)


@contextmanager
def spawned(
    workers: int, prepare: Callable[..., object], *arguments: Any
) -> Iterator[Callable[..., Future[Any]]]:
    """Gives the `submit` of a pool of fresh processes, each of which calls `prepare` with the arguments first.

    They do not hear Ctrl-C, which a terminal sends to all of them and each would answer with a traceback: this process
    ends them by SIGTERM when it is interrupted."""
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=prepare, initargs=arguments)

    def submit(work: Callable[..., Any], *given: Any) -> Future[Any]:
        hearing = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited by the process that starts now
        try:
            return pool.submit(_until_ended, work, *given)
        finally:
            signal.signal(signal.SIGINT, hearing)

    try:
        yield submit
    except KeyboardInterrupt:
        for process in active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _until_ended(work: Callable[..., Any], *given: Any) -> Any:
    """What the work returns. Where a handler of SIGTERM ends it by `sys.exit`, the process ends as well: the pool
    would take that for the work's error, and go on with what is waiting."""
    try:
        return work(*given)
    except SystemExit:
        os._exit(1)
