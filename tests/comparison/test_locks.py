"""Locks: who may write a run folder at the same time, and what a killed process leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from comparison.locks import folder_lock, running_writers, writer_lock
from comparison.records import RecordError

LOCKED = """
import sys; from pathlib import Path; from comparison.locks import writer_lock
with writer_lock(Path(sys.argv[1]), "serial"):
    print("locked", flush=True); sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", LOCKED, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout
    assert process.stdout.readline() == b"locked\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_driver_of_one_name_is_refused_and_told_who_holds_it(tmp_path, holder):
    with pytest.raises(RecordError, match=f"pid {holder.pid} "), writer_lock(tmp_path, "serial"):
        pass


@pytest.mark.parametrize(
    ("running", "asking", "refused"),
    [
        ("serial", "shard-2-of-8", True),
        ("shard-2-of-8", "serial", True),
        ("shard-2-of-8", "shard-2-of-8", True),
        ("shard-2-of-8", "shard-1-of-4", True),
        ("shard-2-of-8", "shard-3-of-8", False),
        ("shard-1-of-11", "shard-1-of-1", True),
    ],
)
def test_two_writers_are_refused_where_they_could_give_the_same_answers(tmp_path, running, asking, refused):
    with writer_lock(tmp_path, running):
        if refused:
            with (
                pytest.raises(RecordError, match=f"as '{running}': wait"),
                writer_lock(tmp_path, asking),
            ):
                pass
        else:
            with writer_lock(tmp_path, asking):
                assert set(running_writers(tmp_path)) == {running, asking}
    with writer_lock(tmp_path, asking):
        assert set(running_writers(tmp_path)) == {asking}


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path, holder):
    holder.kill()
    holder.wait()
    with writer_lock(tmp_path, "serial"):
        lock = tmp_path / "records" / "serial.lock"
        assert lock.read_text().startswith(f"pid {os.getpid()} ")


def test_the_folder_is_one_writers_at_a_time(tmp_path):
    entered = threading.Event()

    def enter():
        with folder_lock(tmp_path):
            entered.set()

    other = threading.Thread(target=enter)
    with folder_lock(tmp_path):
        other.start()
        assert not entered.wait(0.2)
    assert entered.wait(60)
    other.join()
