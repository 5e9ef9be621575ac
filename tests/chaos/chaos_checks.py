"""What must hold whatever goes wrong: how an attempt may end, what its folder holds, what it may leave running.

Exercised by ``python -m tests.chaos``.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos_faults import READER, STATUS, Fault

from comparison.records import read_file, read_records
from run_compare import main_table

COST = ("cost", "cold", "commit", "session")
"""What two runs of the same grid may differ in."""


class Broken(AssertionError):
    """What a chaos run must not show: something lost, doubled, unreadable, left running or left unsaid."""


@dataclass(frozen=True)
class Clean:
    """A run without faults: its records, its table, and how many operations its disk saw."""

    records: dict[tuple[str, str, str], dict[str, Any]]
    table: str
    operations: int


@dataclass(frozen=True)
class Ended:
    """A process that has ended: its status, and what it printed."""

    status: int
    out: str
    err: str


def expect(good: bool, otherwise: str) -> None:
    if not good:
        raise Broken(otherwise)


def check_ends(scratch: Path, mode: str, fault: Fault, ended: Sequence[Ended]) -> None:
    """Every process ended as its fault asks for, and whoever could still speak did so in one line."""
    fired = (scratch / "fired").exists()
    for place, one in enumerate(ended):
        # a worker may say where it was when its driver was killed
        expect("Traceback" not in one.err or one.status == -9, one.err)
        expect(one.status != 2 or one.err.count("\n") == 1, f"more than one line of error: {one.err}")
        hit = fault.place == place
        allowed = {0}
        if fault.kind == "blocked":
            allowed = {2}
        elif hit and fired:
            allowed = {STATUS[fault.kind]}
        elif hit and fault.kind in ("stab", "stab while it hangs"):
            allowed = {0, -9}
        elif hit and fault.kind == "die":
            allowed = {0} if mode == "timeout" else {0, -9}
        elif hit and fault.kind in READER:
            allowed = {0, 2}
        expect(one.status in allowed, f"{fault} ended with {one.status}, not {allowed}: {one.out}{one.err}")


def check_folder(scratch: Path, clean: Clean) -> None:
    """The run folder is whole: nothing lost, nothing doubled, everything readable, the report made."""
    for path, content in contents(scratch).items():
        expect(content.endswith(b"\n"), f"{path} still has a torn line")
        finals = Counter(record.key for record in read_file(path) if record.final)
        expect(set(finals.values()) <= {1}, f"{path} has an answer twice")
    finals = Counter(record.key for path in contents(scratch) for record in read_file(path) if record.final)
    expect(set(finals.values()) <= {1}, "an answer stands in two files")
    found = current(scratch)
    lost = sorted(set(clean.records) - set(found))
    expect(not lost, f"{len(lost)} answers are lost, the first: {lost[:1]}")
    differ = [place for place, record in found.items() if record != clean.records.get(place)]
    expect(not differ, f"{len(differ)} records differ from the clean run's, the first: {differ[:1]}")
    for name in ("run.json", "report.json"):
        json.loads((scratch / "run" / name).read_text())
    expect((scratch / "run/report.md").stat().st_size > 0, "the report is empty")
    table = main_table(scratch / "run/results.csv")
    expect(table == clean.table, f"the table is\n{table}\nand not\n{clean.table}")


def current(scratch: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The run folder's current records by method, task and example, without what a run's moment decides."""
    rows = [record.to_json() for record in read_records(scratch / "run")]
    kept = [{name: value for name, value in row.items() if name not in COST} for row in rows]
    return {(row["method"], row["task"], row["example"]): row for row in kept}


def expect_no_orphan(scratch: Path, seconds: float = 10.0) -> None:
    """No process of the attempt is left, at most a moment after it has ended."""
    until = time.monotonic() + seconds
    while left := processes_of(scratch):
        if time.monotonic() > until:
            break
        time.sleep(0.01)
    else:
        return
    raise Broken(f"{len(left)} processes were left running")


@contextmanager
def nothing_left(scratch: Path) -> Iterator[None]:
    """No process outlives an attempt by itself, and none at all one that went wrong."""
    try:
        yield
        expect_no_orphan(scratch)
    finally:
        for process in processes_of(scratch):
            os.kill(process, signal.SIGKILL)


def processes_of(scratch: Path) -> list[int]:
    """The processes that have this scratch folder in their environment."""
    mark, found = f"CHAOS={scratch}\0".encode(), []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def contents(scratch: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in scratch.glob("run/records/*/*/*.jsonl")}
