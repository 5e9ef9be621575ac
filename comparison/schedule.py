"""The one scheduling loop of all workers, local processes and Ray actors alike.

Questions are handed out in order, each to a free worker. A worker that gives no answer in time is killed and
its answer is an error; one that dies is replaced and its example is done again, once. The driver alone writes
records, as the answers come. Exercised by ``pytest tests/comparison/test_schedule.py``.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Self

from comparison.answering import Facts, Given
from comparison.pending import Job
from comparison.workers import Failed, Gone, Message, WorkerError, Workers
from models.meter import Cost

STARTS = 3
"""How often in a row a worker may die while it opens the reader."""
DEATHS = 2
"""How many workers may die of one example before its answer is an error."""


class Workforce:
    """Workers at work, as a context: entered once the first of them has opened the reader, whose facts are
    `facts`; all are ended when it is left. `timeout` is in seconds an answer, from the question to the answer
    (opening the reader does not count).

    Raises `WorkerError` where the reader cannot be opened, or workers disagree on what they read with."""

    facts: Facts

    def __init__(self, workers: Workers, timeout: float | None) -> None:
        self.workers, self.timeout = workers, timeout
        self._starting: Counter[int] = Counter()  # how often each has been started since it last was ready
        self._idle: list[int] = []
        self._busy: dict[int, tuple[Job, float]] = {}

    def __enter__(self) -> Self:
        try:
            for worker in range(self.workers.size):
                self._start(worker)
            while not self._idle:
                for worker, message in self.workers.wait(None):
                    self._greet(worker, message, needed=True)
        except BaseException:
            self.workers.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.workers.close()

    def answers(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Given]]:
        """Every job's answer, as they come; with one worker in order."""
        waiting, deaths = deque(jobs), Counter[Job]()
        given: list[tuple[Job, Given]] = []
        while True:
            while waiting and self._idle:
                self._submit(self._idle.pop(0), waiting.popleft())
            yield from given  # recorded while the workers are at it again
            if not waiting and not self._busy:
                return
            given = [*self._collect(waiting, deaths), *self._stop_overdue(waiting)]

    def _submit(self, worker: int, job: Job) -> None:
        self.workers.submit(worker, (job.label, job.task, job.example()))
        self._busy[worker] = job, time.monotonic()

    def _collect(self, waiting: deque[Job], deaths: Counter[Job]) -> Iterator[tuple[Job, Given]]:
        """The answers that came, waited for no longer than the next deadline."""
        for worker, message in self.workers.wait(self._patience()):
            job, began = self._busy.pop(worker, (None, 0.0))
            if job is None:
                self._greet(worker, message, needed=bool(waiting))
            elif isinstance(message, Given):
                self._idle.append(worker)
                yield job, message
            elif isinstance(message, Gone):
                deaths[job] += 1
                if deaths[job] < DEATHS:
                    waiting.appendleft(job)
                else:
                    yield job, _failure(f"the worker died twice on this example: {message.reason}", began)
                if waiting:
                    self._start(worker)

    def _stop_overdue(self, waiting: deque[Job]) -> Iterator[tuple[Job, Given]]:
        overdue = [worker for worker in self._busy if self._left(worker) <= 0]
        for worker in overdue:
            job, began = self._busy.pop(worker)
            self.workers.kill(worker)
            if waiting:
                self._start(worker)
            yield job, _failure(f"timeout: no answer within {self.timeout:g} s", began)

    def _patience(self) -> float | None:
        if self.timeout is None or not self._busy:
            return None
        return max(0.0, min(self._left(worker) for worker in self._busy))

    def _left(self, worker: int) -> float:
        """Seconds until a busy worker is overdue."""
        if self.timeout is None:
            return float("inf")
        return self._busy[worker][1] + self.timeout - time.monotonic()

    def _start(self, worker: int) -> None:
        self._starting[worker] += 1
        self.workers.start(worker)

    def _greet(self, worker: int, message: Message, *, needed: bool) -> None:
        """A worker without a question is ready, cannot be, or has died (and is replaced if there is work)."""
        if isinstance(message, Facts):
            if not hasattr(self, "facts"):
                self.facts = message
            _check_same(self.facts, message)
            self._starting[worker] = 0
            self._idle.append(worker)
        elif isinstance(message, Failed):
            if message.trace:
                raise RuntimeError(f"a worker could not open the reader\n\n{message.trace}")
            raise WorkerError(message.line)
        elif isinstance(message, Gone):
            if worker in self._idle:
                self._idle.remove(worker)
            if self._starting[worker] >= STARTS:
                raise WorkerError(
                    f"a worker died {STARTS} times while it opened the reader ({message.reason}): is there "
                    "memory for it? (fewer --workers, a smaller reader, or none of --timeout and --executor; "
                    "a script needs `if __name__ == '__main__':`)"
                )
            if needed:
                self._start(worker)


def _check_same(one: Facts, other: Facts) -> None:
    """Raises `WorkerError` where two workers would give different answers."""
    pairs = [(name, one.settings[name], other.settings.get(name)) for name in one.settings]
    pairs += [
        (f"the code of {label}", traits.version, other.methods[label].version)
        for label, traits in one.methods.items()
    ]
    for name, a, b in pairs:
        if a != b:
            raise WorkerError(
                f"the workers differ in {name}: {a} on one, {b} on another; give them alike machines and the "
                "same checkout (or name --device and --dtype)"
            )


def _failure(error: str, began: float) -> Given:
    seconds = {"total": time.monotonic() - began}
    return Given(error=error, cost=Cost(seconds=seconds).to_json())
