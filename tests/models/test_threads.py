"""Shares of the work on several threads: every task once, and what a worker raises."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from models import threads
from models.threads import SERIAL, share, workers_for


@pytest.fixture(params=["openmp", "python"])
def either(request, monkeypatch):
    """On torch's threads, and where those are not GNU's."""
    if request.param == "python":
        monkeypatch.setattr(threads, "gnu_openmp", lambda: None)


@pytest.mark.parametrize(("tasks", "workers"), [(10, 1), (10, 3), (2, 4), (0, 2)])
def test_every_task_is_done_once(tasks, workers, either):
    done = []
    share(
        lambda worker, first, last, add: [add(task) for task in range(first, last)],
        tasks,
        workers,
        done.append,
    )
    assert sorted(done) == list(range(tasks))


def test_a_failure_in_any_worker_is_raised_here(either):
    class Stopped(BaseException):
        pass

    def kernel(worker, first, last):
        if worker == 1:
            raise Stopped

    with pytest.raises(Stopped):
        share(kernel, 10, 2)


def test_an_interrupt_that_a_callback_swallows_is_raised_afterwards(monkeypatch):
    """Python checks for Ctrl-C when it enters a function, and ctypes prints what that raises and goes on."""

    def thread_num():
        raise KeyboardInterrupt

    openmp = SimpleNamespace(
        omp_get_thread_num=thread_num,
        omp_get_num_threads=lambda: 2,
        GOMP_parallel=lambda region, *_: region(None),
    )
    monkeypatch.setattr(threads, "gnu_openmp", lambda: openmp)
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        share(lambda *_: None, 4, 2)


def test_little_work_stays_on_one_thread_and_more_gets_no_more_than_there_are(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert [workers_for(8, SERIAL - 1), workers_for(8, SERIAL), workers_for(3, SERIAL)] == [1, 4, 3]
    assert workers_for(0, SERIAL) == 1


def flushes() -> bool:
    return sys.float_info.min / 2 == 0.0


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this processor cannot be told")
def test_numbers_below_the_smallest_normal_one_are_zero_in_a_kernel_and_kept_outside(either):
    seen = []
    share(lambda *_: seen.append(flushes()), 2, 2)
    assert seen == [True, True]
    share(lambda *_: seen.append(flushes()), 2, 1)
    assert seen[2:] == [True]
    everywhere = torch.full((1 << 22,), 2e-38) / 2  # on all of torch's threads
    assert everywhere.count_nonzero() == everywhere.numel()


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this processor cannot be told")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_thread_that_flushes_them_already_goes_on_to_do_so_even_after_a_failure(workers, either):
    def kernel(*_):
        raise LookupError

    torch.set_flush_denormal(True)
    try:
        with pytest.raises(LookupError):
            share(kernel, 2, workers)
        assert flushes()
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_threads_wait_awake_for_a_while_unless_the_user_says_how(given, spins):
    others = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP_", "OMP_"))}
    said = "import os, models; print(os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run([sys.executable, "-c", said], env=others | given, capture_output=True, text=True)
    assert done.stdout.strip() == spins
