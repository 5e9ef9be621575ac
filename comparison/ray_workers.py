"""Workers on Ray: actors that each hold a reader on a GPU of their own, or on a share of the CPUs.

A cluster that is named is joined; without a name one is started on this machine for this run (since Ray 2.59
it asks for a token) and ends with the driver. Ray is imported when it is asked for (extra `ray`). The machines
of a cluster need the same checkout at the same path. Exercised by ``pytest tests/comparison/test_ray.py``.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from comparison.answering import Bench, Facts, Given
from comparison.workers import Failed, Gone, Message, Question, Setup, WorkerError

OBJECT_STORE_BYTES = 256 << 20
"""A local cluster's shared memory: it holds the contexts that are on their way."""
KNOCK_SECONDS = 5
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # or a warning about what a later Ray will do on CPU workers
}


class Reader:
    """The actor: one process with one reader."""

    bench: Bench

    def open(self, setup: bytes, paths: Sequence[str], folder: str, threads: int) -> Facts | Failed:
        """Load the reader where the driver is: with its module paths, in its folder. `setup` is a pickled
        `Setup`, as what it names may only be found then."""
        import ray.cloudpickle

        sys.path += [path for path in paths if path not in sys.path]
        if Path(folder).is_dir():
            os.chdir(folder)
        os.environ |= {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}  # before torch
        try:
            bench = ray.cloudpickle.loads(setup).open()
        except Exception as problem:
            return Failed(f"{type(problem).__name__}: {problem}", traceback.format_exc())
        if isinstance(bench, Failed):
            return bench
        self.bench = bench
        return bench.facts

    def answer(self, question: Question) -> Given:
        return self.bench.answer(*question)


class RayWorkers:
    """Actors of a Ray cluster. `size` is what is asked for, or else the GPUs of the cluster, or one a machine
    where it has none (or `device` is "cpu").

    Raises `WorkerError` where Ray is not installed, the cluster is not there or too small."""

    def __init__(self, setup: Setup, size: int | None, *, address: str | None, device: str) -> None:
        self.setup = setup
        self.ray = _start_ray(address)
        try:
            resources = self.ray.cluster_resources()
            gpus = 0 if device == "cpu" else int(resources.get("GPU", 0))
            if device == "cuda" and not gpus:
                raise WorkerError("--device cuda: the Ray cluster has no GPU; use --device cpu")
            self.size = size or gpus or len([node for node in self.ray.nodes() if node["Alive"]])
            if 0 < gpus < self.size:
                raise WorkerError(
                    f"--workers {self.size}: the Ray cluster has {gpus} GPUs, and every worker needs its own"
                )
        except BaseException:
            self.ray.shutdown()
            raise
        share = resources.get("CPU", 1.0) / self.size
        self.threads = max(1, int(share))
        self._actor = self.ray.remote(Reader).options(
            num_cpus=min(1.0, int(share * 1000) / 1000),  # rounded up, the last would find no place
            num_gpus=1 if gpus else 0,
            max_restarts=0,
            scheduling_strategy="SPREAD",
        )
        self._actors: dict[int, Any] = {}
        self._expected: dict[Any, int] = {}

    def start(self, worker: int) -> None:
        actor = self._actors[worker] = self._actor.remote()
        setup = self.ray.cloudpickle.dumps(self.setup)
        self._expected[actor.open.remote(setup, sys.path, os.getcwd(), self.threads)] = worker

    def submit(self, worker: int, question: Question) -> None:
        self._expected[self._actors[worker].answer.remote(question)] = worker

    def wait(self, seconds: float | None) -> Sequence[tuple[int, Message]]:
        expected = list(self._expected)
        first, _ = self.ray.wait(expected, num_returns=1, timeout=seconds)
        if not first:
            return []
        ready, _ = self.ray.wait(expected, num_returns=len(expected), timeout=0)
        return [(self._expected[one], self._receive(one)) for one in ready]

    def _receive(self, reference: Any) -> Message:
        worker = self._expected.pop(reference)
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayError as problem:
            self.kill(worker)
            return Gone(_first_line(problem))

    def kill(self, worker: int) -> None:
        self._expected = {one: owner for one, owner in self._expected.items() if owner != worker}
        self.ray.kill(self._actors.pop(worker))

    def close(self) -> None:
        for worker in list(self._actors):
            self.kill(worker)
        self.ray.shutdown()


def _start_ray(address: str | None) -> Any:
    """Ray, joined to the cluster at `address`, or to one of this machine that is started for this process."""
    os.environ |= {name: value for name, value in QUIET.items() if name not in os.environ}
    try:
        import ray
        import ray.cloudpickle
        import ray.exceptions
    except ImportError as problem:
        raise WorkerError(f"--executor ray needs Ray ({problem}): pip install -e '.[ray]'") from problem
    here: dict[str, Any] = {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        if address:
            _knock(address)
        ray.init(
            address=address or "local",
            logging_level=logging.ERROR,
            log_to_driver=False,
            **({} if address else here),
        )
    except (OSError, OverflowError, RuntimeError, ValueError) as problem:
        where = f"reach the Ray cluster at {address}" if address else "start Ray on this machine"
        raise WorkerError(f"cannot {where}: {_first_line(problem)}") from problem
    return ray


def _knock(address: str) -> None:
    """OSError where nothing listens at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if port.isdecimal():
        socket.create_connection((host.rpartition("/")[2], int(port)), KNOCK_SECONDS).close()


def _first_line(problem: Exception) -> str:
    text = str(problem).strip() or type(problem).__name__
    return text.splitlines()[0]
