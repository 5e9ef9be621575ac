"""Workers: processes that each hold a reader and answer what the driver hands them.

`Workers` is what the scheduling loop (`comparison.schedule`) asks of them; `LocalWorkers` are processes of this
machine, which is what ``--timeout`` takes: a signal cannot stop a torch call, killing its process can. Those
of Ray are in `comparison.ray_workers`. Imports no torch. Exercised by ``pytest tests/comparison/test_workers.py``.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.context import SpawnProcess
from typing import Any, NamedTuple, Protocol

from benchmarks.base import Example, Task
from comparison import provenance
from comparison.answering import Bench, Facts, Given
from comparison.pending import asked_methods
from comparison.plan import Plan, resolve
from models.processes import die_with
from models.specs import ReaderSpec

SPAWN = get_context("spawn")  # a forked copy of threads and CUDA handles would hang


class WorkerError(ValueError):
    """Workers that cannot start, cannot be reached or disagree; the message is one line."""


@dataclass(frozen=True)
class Setup:
    """What a worker is told at its start: how to open the reader (`load` pickles and takes no arguments), and
    the methods' SPECs by label, which it resolves for itself, since a factory need not pickle."""

    load: Callable[[], Any]
    reader: ReaderSpec
    specs: Mapping[str, str]

    @classmethod
    def of(cls, plan: Plan, load: Callable[[], Any]) -> Setup:
        return cls(load, plan.reader, {one.label: one.spec for one in asked_methods(plan)})

    def open(self) -> Bench | Failed:
        """The reader with its methods; where that does not come about, why."""
        try:
            methods = [replace(resolve("method", spec), label=label) for label, spec in self.specs.items()]
            provenance.remember_code(methods)
            return Bench(self.reader, self.load(), methods)
        except (ValueError, OSError) as problem:
            return Failed(" ".join(str(problem).split()))
        except Exception as problem:
            return Failed(f"{type(problem).__name__}: {problem}", traceback.format_exc())


class Failed(NamedTuple):
    """A worker could not open its reader: a user's error in one line, or a bug with its traceback."""

    line: str
    trace: str = ""


class Gone(NamedTuple):
    """A worker's process is no more; `reason` says what is known of it."""

    reason: str


Message = Facts | Given | Failed | Gone
Question = tuple[str, Task, Example]
"""A method's label, and what it is asked."""


class Workers(Protocol):
    """`size` workers, by number from 0. A worker that was started sends `Facts` (or `Failed`), and a `Given` for
    every question; `Gone` where it died, after which it can be started again."""

    size: int

    def start(self, worker: int) -> None:
        """Begin to start a worker; it may take minutes until it says its facts."""

    def submit(self, worker: int, question: Question) -> None:
        """Hand a question to a worker that has none."""

    def wait(self, seconds: float | None) -> Sequence[tuple[int, Message]]:
        """What the workers have sent; nothing where nothing came within so many seconds."""
        ...

    def kill(self, worker: int) -> None:
        """End a worker, whatever it is doing; it is gone afterwards, and sends nothing more."""

    def close(self) -> None:
        """End all of them."""


class LocalWorkers:
    """Processes of this machine. They end with the driver, however it dies."""

    def __init__(self, setup: Setup, size: int = 1) -> None:
        self.setup, self.size = setup, size
        self._running: dict[int, tuple[SpawnProcess, connection.Connection]] = {}

    def start(self, worker: int) -> None:
        ours, theirs = SPAWN.Pipe()
        resource_tracker.ensure_running()  # before the block: it would lift it
        process = SPAWN.Process(target=_serve, args=(theirs, self.setup, os.getpid()), name="reader")
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited: Ctrl-C is the driver's
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            theirs.close()
        self._running[worker] = process, ours

    def submit(self, worker: int, question: Question) -> None:
        with suppress(OSError):  # it has just died, as the next wait will find
            self._running[worker][1].send(question)

    def wait(self, seconds: float | None) -> list[tuple[int, Message]]:
        ready = connection.wait([pipe for _, pipe in self._running.values()], seconds)
        sent = [worker for worker, (_, pipe) in self._running.items() if pipe in ready]
        return [(worker, self._receive(worker)) for worker in sent]

    def _receive(self, worker: int) -> Message:
        process, pipe = self._running[worker]
        try:
            return pipe.recv()
        except (EOFError, OSError):
            process.join(timeout=1)  # it ends by itself, with a status of its own
            self.kill(worker)
            status = process.exitcode or 0
            return Gone(
                f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
            )

    def kill(self, worker: int) -> None:
        process, pipe = self._running.pop(worker)
        pipe.close()
        process.kill()
        process.join()

    def close(self) -> None:
        for process, _ in self._running.values():
            process.kill()
        for worker in list(self._running):
            self.kill(worker)


def _serve(pipe: connection.Connection, setup: Setup, driver: int) -> None:
    """A worker's life: open the reader, say its facts, answer until the driver closes the pipe."""
    die_with(driver)
    bench = setup.open()
    if isinstance(bench, Failed):
        pipe.send(bench)
        return
    pipe.send(bench.facts)
    while True:
        try:
            question = pipe.recv()
        except EOFError:
            return
        pipe.send(bench.answer(*question))
