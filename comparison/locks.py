"""Who is writing a run folder: one lock a writer, and one over what all of them share.

The kernel frees a lock with its process, however it dies. Exercised by ``pytest tests/comparison/test_locks.py``.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from comparison.records import RecordError, disk_errors


@contextmanager
def writer_lock(run_dir: Path, writer: str) -> Iterator[None]:
    """Hold a run folder under a writer's name ("serial", "shard-2-of-8"); raises `RecordError` while another
    holder could give the same answers (`refuse_rivals`).

    The kernel frees the lock with the process, however it dies, so a lock file left behind by a killed run is
    simply taken over; the pid inside is for the message. It is entered under the `folder_lock`, with `run.json`
    written before that is given back: shards that begin together must agree on one limit.
    """
    refuse_rivals(run_dir, writer)
    path = run_dir / "records" / f"{writer}.lock"
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
        fcntl.flock(file, fcntl.LOCK_EX)  # at most a look of `running_writers` is in the way
        file.truncate(0)
        file.write(f"pid {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
    with file:
        yield


@contextmanager
def folder_lock(run_dir: Path) -> Iterator[None]:
    """Wait for the right to change what all writers of a run folder share: its locks, `run.json`, `examples/`."""
    path = run_dir / "records" / ".shared"
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def running_writers(run_dir: Path) -> dict[str, str]:
    """The names under which a run folder is being written, with who holds them ("pid 1 on here").

    Only a caller that holds the `folder_lock` knows that no other one is just beginning."""
    found = {}
    for path in sorted((run_dir / "records").glob("*.lock")):
        with path.open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found[path.stem] = file.read().strip() or "another process"
    return found


def refuse_rivals(run_dir: Path, writer: str) -> None:
    """Raises `RecordError` while a run folder is being written under a name that could give the answers of
    `writer`: any other than a different shard of the same number of shards."""
    for name, holder in running_writers(run_dir).items():
        if name == writer or not _shards(name) or _shards(name) != _shards(writer):
            raise RecordError(
                f"{run_dir} is being written by {holder} as {name!r}: wait for it, or choose another --out"
            )


def _shards(writer: str) -> str:
    """The n of "shard-i-of-n"; empty for another name."""
    match = re.fullmatch(r"shard-\d+-of-(\d+)", writer)
    return match[1] if match else ""
