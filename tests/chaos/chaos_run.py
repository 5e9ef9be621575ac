"""One chaos run: a small comparison that meets faults, is simply repeated until it ends, and must equal a clean one.

Every attempt is a real process of `run_compare.py` (`chaos_driver.py`). Exercised by ``python -m tests.chaos``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos_checks import (
    Broken,
    Clean,
    Ended,
    check_ends,
    check_folder,
    contents,
    current,
    expect,
    nothing_left,
)
from chaos_faults import MODES, NO_FAULT, Fault, draw
from chaos_pieces import EXAMPLES, TASKS

from run_compare import main_table

HERE = Path(__file__).parent
METHODS = ("Whole", "Half", "Key")
COMMAND = [sys.executable, str(HERE / "chaos_driver.py"), "--model", "fake/reader", "--out", "run"]
COMMAND += ["--benchmark", "chaos_pieces:sides", "--baseline", "chaos_pieces:Whole"]
COMMAND += [part for name in METHODS for part in ("--method", f"chaos_pieces:{name}")]
SECONDS = 300
"""After which a process counts as hanging: an attempt takes one, but a machine may be busy with other things."""


@dataclass(frozen=True)
class Survived:
    """A run that met its faults and still is the clean one; `again` answers were given more than once."""

    seed: int
    mode: str
    faults: tuple[Fault, ...]
    attempts: int
    again: int

    def __str__(self) -> str:
        met = ", ".join(map(str, self.faults))
        return (
            f"seed {self.seed:3}  {self.mode:8} {self.attempts} attempts, {self.again} answers again: {met}"
        )


def clean_run(scratch: Path) -> Clean:
    """The grid answered without faults, in `scratch`."""
    [ended] = attempt(scratch, "serial", NO_FAULT, EXAMPLES)
    expect(ended.status == 0, f"the clean run ended with {ended.status}: {ended.err}")
    return Clean(
        current(scratch), main_table(scratch / "run/results.csv"), int((scratch / "operations").read_text())
    )


def chaos_run(seed: int, scratch: Path, clean: Clean) -> Survived:
    """Run a seed's faults in `scratch`, each with some more examples, then all without a fault. Raises `Broken`."""
    mode, faults = draw(seed, clean.operations)
    for number, fault in enumerate(faults, start=1):
        tear(scratch, fault)
        limit = EXAMPLES * number // (len(faults) + 1)
        ended = attempt(scratch, mode, fault, limit)
        check_ends(scratch, mode, fault, ended)
        if len(ended) == 1 and ended[0].status == 0 and "failed (" not in ended[0].out:
            missing = len(METHODS) * len(TASKS) * limit - len(current(scratch))
            expect(missing == 0, f"{fault} ended well, and {missing} answers are missing: {ended[0].out}")
    for one in attempt(scratch, mode, NO_FAULT, EXAMPLES):
        expect(one.status == 0 and "failed (" not in one.out, f"no end without a fault: {one.out}{one.err}")
    check_folder(scratch, clean)
    given = Counter((scratch / "answers").read_text().splitlines())
    again = given.total() - len(given)
    expect(len(given) == len(clean.records), f"{len(given)} of {len(clean.records)} answers were ever given")
    expect(
        again <= len(faults) + torn(faults), f"{again} answers were given again after {len(faults)} faults"
    )
    return Survived(seed, mode, tuple(faults), len(faults) + 1, again)


# One attempt


def attempt(scratch: Path, mode: str, fault: Fault, limit: int) -> list[Ended]:
    """Run every process of the mode at the same time, one of them under a fault, and wait for them. There are
    `limit` examples of every task to be answered."""
    for marker in ("fired", "paused", "go", *(path.name for path in scratch.glob("reader-*"))):
        (scratch / marker).unlink(missing_ok=True)
    with blocked(scratch, fault), nothing_left(scratch):
        running = [
            start(scratch, flags, fault if fault.place == place else NO_FAULT, limit, str(place))
            for place, flags in enumerate(MODES[mode])
        ]
        if fault.kind == "stab":
            time.sleep(fault.after)
            running[fault.place].kill()
        if fault.kind == "stab while it hangs":
            wait_for(scratch / "reader-0", running[fault.place])
            running[fault.place].kill()
        if fault.kind == "stab worker":
            time.sleep(fault.after)
            kill_workers(running[fault.place].pid)
        if fault.kind == "second driver":
            second_drivers(scratch, MODES[mode][fault.place], limit, running[fault.place])
        ended = [end(scratch, process, str(place)) for place, process in enumerate(running)]
    return ended


def start(scratch: Path, flags: Sequence[str], fault: Fault, limit: int, name: str) -> subprocess.Popen:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHAOS")}
    environment |= {"CHAOS": str(scratch), **fault.environment}
    with (scratch / f"{name}.out").open("w") as out, (scratch / f"{name}.err").open("w") as err:
        return subprocess.Popen(
            [*COMMAND, *flags, "--limit", str(limit)],
            cwd=scratch,
            env=environment,
            stdout=out,
            stderr=err,
            # a shell in the background has its children ignore it
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )


def end(scratch: Path, process: subprocess.Popen, name: str) -> Ended:
    try:
        status = process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise Broken(f"no end after {SECONDS} seconds") from None
    return Ended(status, (scratch / f"{name}.out").read_text(), (scratch / f"{name}.err").read_text())


@contextmanager
def blocked(scratch: Path, fault: Fault) -> Iterator[None]:
    """A file where a folder should be, for as long as the attempt takes."""
    if fault.kind != "blocked":
        yield
        return
    path, kept = scratch / fault.folder, scratch / "kept"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.rename(kept)
    path.touch()
    yield
    path.unlink()
    if kept.exists():
        kept.rename(path)


def kill_workers(driver: int) -> None:
    """Kill -9 for the worker processes of a driver, if it has begun to start them."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == driver and b"spawn_main" in (path / "cmdline").read_bytes():
                os.kill(int(path.name), signal.SIGKILL)
        except OSError:
            continue  # it has just ended


def wait_for(marker: Path, process: subprocess.Popen) -> None:
    """Until a process has left its mark, or has ended."""
    while not marker.exists() and process.poll() is None:
        time.sleep(0.01)


def second_drivers(scratch: Path, flags: tuple[str, ...], limit: int, first: subprocess.Popen) -> None:
    """Start other drivers while the first one stands still: each must be refused, and touch nothing."""
    wait_for(scratch / "paused", first)
    if first.poll() is not None:
        return
    before = contents(scratch)
    for rival in {flags, (), ("--shard", "1/2")}:
        second = end(scratch, start(scratch, rival, NO_FAULT, limit, "second"), "second")
        told = f"a second driver {' '.join(rival)} ended with {second.status}: {second.err}"
        expect(second.status == 2 and "is being written by" in second.err, told)
    after = contents(scratch)
    (scratch / "go").touch()
    good = all(after[path].startswith(content) for path, content in before.items())
    expect(good, "a second driver changed the records of the first")


def torn(faults: Sequence[Fault]) -> int:
    return sum(fault.torn > 0 for fault in faults)


def tear(scratch: Path, fault: Fault) -> None:
    """Cut a share of the last line off one record file."""
    files = sorted(contents(scratch).items())
    if fault.torn and files:
        path, content = files[int(fault.torn * 1000) % len(files)]
        last = len(content) - (content.rstrip(b"\n").rfind(b"\n") + 1)
        os.truncate(path, len(content) - int(fault.torn * last))
