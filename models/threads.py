"""Kernels on several threads: each worker's share of the tasks, at the same time.

Torch's OpenMP threads do the work, where they are GNU's: a second pool would fight with the first, whose threads go
on spinning after every matrix product. Elsewhere Python's threads do. In a kernel, numbers below the smallest normal
one (1e-38) are zero: states pass through them as they decay, and a processor that keeps them takes some hundred cycles
for each.

    python -m pytest tests/models/test_threads.py
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from functools import lru_cache
from threading import Thread

import torch

# With fewer elements to update than this, waking threads costs more than it saves.
SERIAL = 1 << 18
REGION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def workers_for(tasks: int, updates: int) -> int:
    """How many workers so many tasks are worth, with so many elements to update in all."""
    return 1 if updates < SERIAL else max(1, min(torch.get_num_threads(), tasks))


def share(kernel: Callable, tasks: int, workers: int, *arguments) -> None:
    """Call `kernel(worker, first, last, *arguments)` for every worker's share of the tasks, at the same time. What
    one of them raises is raised here."""
    failures: list[BaseException] = []
    finished: list[int] = []

    def work(worker: int) -> None:
        kept = sys.float_info.min / 2 > 0.0  # this thread may have been told to flush them already
        try:
            torch.set_flush_denormal(True)
            kernel(worker, tasks * worker // workers, tasks * (worker + 1) // workers, *arguments)
            finished.append(worker)
        except BaseException as error:  # a foreign thread cannot raise, and Ctrl-C lands here too
            failures.append(error)
        finally:
            torch.set_flush_denormal(not kept)

    openmp = gnu_openmp() if workers > 1 else None
    if workers == 1:
        work(0)
    elif openmp:

        def region(_) -> None:
            # OpenMP may grant fewer threads than asked for.
            for worker in range(openmp.omp_get_thread_num(), workers, openmp.omp_get_num_threads()):
                work(worker)

        openmp.GOMP_parallel(REGION(region), None, workers, 0)
    else:
        threads = [Thread(target=work, args=(worker,)) for worker in range(1, workers)]
        for thread in threads:
            thread.start()
        work(0)
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
    if len(finished) < workers:
        raise KeyboardInterrupt  # it came between the calls, where ctypes swallows what is raised


@lru_cache(maxsize=1)
def gnu_openmp() -> ctypes.CDLL | None:
    """The GNU OpenMP library that this process has loaded (with torch), if any."""
    try:
        library = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD)
        library.GOMP_parallel.argtypes = [REGION, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        library.GOMP_parallel.restype = None
        return library
    except (OSError, AttributeError):
        return None
