"""A child that would go on for minutes ends when its parent is killed, and on Ctrl-C without a word."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

CHILD = """
import os, sys, time
from models.processes import die_with
die_with(os.getppid() if len(sys.argv) == 1 else int(sys.argv[1]))
print(os.getpid(), flush=True)
time.sleep(300)
"""
PARENT = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {CHILD!r}])
time.sleep(300)
"""
PATIENCE = 20.0


def lives(process: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(process, 0)
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal is Linux's")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_dies_with_its_parent(how):
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert lives(child)
    parent.send_signal(how)
    parent.wait()
    deadline = time.monotonic() + PATIENCE
    while lives(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not lives(child)


def test_a_process_whose_parent_is_gone_already_ends_at_once():
    ended = subprocess.run([sys.executable, "-c", CHILD, "1"], stdout=subprocess.PIPE, timeout=PATIENCE)
    assert (ended.returncode, ended.stdout) == (1, b"")


STARTER = """
import os, sys, time
from models.processes import spawned
def ready():
    os.write(1, b"%d\\n" % os.getpid())
if __name__ == "__main__":
    try:
        with spawned(1, ready) as submit:
            submit(time.sleep, 300).result()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
elif sys.argv[1] == "starting":
    ready()
    time.sleep(300)
"""


@contextmanager
def started(script: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A script as a terminal starts it; none of its processes is left behind."""
    starter = subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell ignores it
    )
    try:
        yield starter
    finally:
        with suppress(ProcessLookupError):
            os.killpg(starter.pid, signal.SIGKILL)


@pytest.mark.parametrize("when", ["starting", "working"])
def test_ctrl_c_ends_spawned_processes_without_a_traceback(when, tmp_path):
    script = tmp_path / "starter.py"
    script.write_text(STARTER)
    with started(script, when) as starter:
        assert starter.stdout is not None
        child = int(starter.stdout.readline())
        os.kill(child, signal.SIGINT)
        time.sleep(0.3)
        assert lives(child)
        os.killpg(starter.pid, signal.SIGINT)
        assert starter.communicate(timeout=PATIENCE) == ("interrupted\n", "")


WAITING = """
import os, signal, sys, time
from models.processes import spawned
def prepare():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
def work(number):
    try:
        os.write(1, b"%d\\n" % number)
        time.sleep(300)
    finally:
        os.write(1, b"saved\\n")
if __name__ == "__main__":
    try:
        with spawned(1, prepare) as submit:
            first, *_ = [submit(work, number) for number in range(3)]
            first.result()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def test_after_ctrl_c_no_work_that_was_waiting_is_begun(tmp_path):
    script = tmp_path / "waiting.py"
    script.write_text(WAITING)
    with started(script) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "0\n"
        os.killpg(starter.pid, signal.SIGINT)
        assert starter.communicate(timeout=PATIENCE) == ("saved\ninterrupted\n", "")
