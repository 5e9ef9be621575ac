"""A child that would go on for minutes ends when its parent is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

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
