"""Five chaos runs of the hundred (``make chaos``), and what such a run would notice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from chaos_checks import (
    Broken,
    Ended,
    check_ends,
    check_folder,
    contents,
    expect_no_orphan,
    nothing_left,
)
from chaos_disk import Disk
from chaos_faults import MODES, NO_FAULT, draw
from chaos_run import chaos_run, clean_run

HERE = Path(__file__).parent
SEEDS = (0, 13, 17, 21, 36)
"""Of every mode, with kills, a power cut, a full disk, hangs, dying workers and second drivers among them."""


@pytest.fixture(scope="session")
def clean(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("clean")
    return scratch, clean_run(scratch)


@pytest.fixture
def finished(clean, tmp_path):
    """A copy of the clean run's folder, to be harmed."""
    shutil.copytree(clean[0], tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_under_faults_is_the_clean_run_when_it_ends(seed, tmp_path, clean):
    survived = chaos_run(seed, tmp_path, clean[1])
    assert survived.faults
    assert survived.attempts == len(survived.faults) + 1


def test_the_five_seeds_are_of_every_mode():
    assert {draw(seed, 250)[0] for seed in SEEDS} == set(MODES)


def test_a_seed_draws_the_same_faults_again():
    assert [draw(seed, 250) for seed in range(30)] == [draw(seed, 250) for seed in range(30)]
    assert len({str(draw(seed, 250)) for seed in range(30)}) == 30


def harm_lost(path, lines):
    path.write_bytes(b"".join(lines[:-1]))


def harm_doubled(path, lines):
    path.write_bytes(b"".join([*lines, lines[0]]))


def harm_doubled_elsewhere(path, lines):
    path.with_name("left.shard-1-of-2.jsonl").write_bytes(lines[0])


def harm_torn(path, lines):
    path.write_bytes(b"".join(lines)[:-5])


def harm_changed(path, lines):
    path.write_bytes(b"".join(lines).replace(b'"score": 1.0', b'"score": 0.0'))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (harm_lost, "1 answers are lost"),
        (harm_doubled, "has an answer twice"),
        (harm_doubled_elsewhere, "stands in two files"),
        (harm_torn, "torn line"),
        (harm_changed, "16 records differ"),
    ],
)
def test_a_harmed_folder_is_noticed(finished, clean, harm, words):
    check_folder(finished, clean[1])
    path = next(path for path in contents(finished) if "Whole" in str(path) and path.name.startswith("left"))
    harm(path, path.read_bytes().splitlines(keepends=True))
    with pytest.raises(Broken, match=words):
        check_folder(finished, clean[1])


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (Ended(1, "", "Traceback (most recent call last):\n"), "Traceback"),
        (Ended(2, "", "one\ntwo\n"), "more than one line"),
        (Ended(3, "", ""), "ended with 3"),
    ],
)
def test_an_end_that_no_fault_explains_is_noticed(tmp_path, ended, words):
    with pytest.raises(Broken, match=words):
        check_ends(tmp_path, "serial", NO_FAULT, [ended])


def test_a_process_that_is_left_running_is_noticed_and_ended(tmp_path):
    code = "import time; time.sleep(60)"
    left = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"CHAOS": str(tmp_path)})
    with pytest.raises(Broken, match="1 processes were left running"), nothing_left(tmp_path):
        expect_no_orphan(tmp_path, seconds=0.05)
    assert left.wait() == -signal.SIGKILL


WRITE = """
import json, os, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, sys.argv[2])
from chaos_disk import Disk
scratch = Path(sys.argv[1])
disk = Disk(scratch / "run", scratch, **json.loads(sys.argv[3]))
disk.install()
(scratch / "run").mkdir()
with (scratch / "run" / "file").open("wb", buffering=0) as file:
    for line in (b"first\\n", b"second\\n"):
        file.write(line)
        if line == b"first\\n":
            os.fsync(file.fileno())
    Path(scratch / "run" / "file").replace(scratch / "run" / "renamed")
"""


@pytest.mark.parametrize(
    ("kind", "at", "status", "content"),
    [
        (None, 0, 0, "first\nsecond\n"),
        ("kill", 3, -9, "fir"),
        ("kill", 4, -9, "first\n"),
        ("kill", 6, -9, "first\nsecond\n"),
        ("power cut", 4, -9, ""),
        ("power cut", 6, -9, "first\n"),
        ("full disk", 5, 1, "first\nsec"),
        ("read-only", 5, 1, "first\n"),
        ("read-only", 1, 1, None),
        ("interrupt", 5, -2, "first\n"),
    ],
)
def test_the_disk_goes_wrong_at_the_operation_that_it_was_told(tmp_path, kind, at, status, content):
    fault = json.dumps({"kind": kind, "at": at})
    done = subprocess.run([sys.executable, "-c", WRITE, str(tmp_path), str(HERE), fault], capture_output=True)
    assert done.returncode == status, done.stderr
    found = [path.read_text() for path in sorted(tmp_path.glob("run/*"))]
    assert found == ([] if content is None else [content])
    assert (tmp_path / "fired").exists() == (kind is not None)


def test_a_power_cut_spares_what_another_process_has_put_in_a_files_place(tmp_path):
    (tmp_path / "run").mkdir()
    file, other = tmp_path / "run" / "file", tmp_path / "other"
    write = f"""
import os, subprocess, sys
sys.path.insert(0, {str(HERE)!r})
from pathlib import Path
from chaos_disk import Disk
theirs = os.replace
Disk(Path({str(tmp_path / "run")!r}), Path({str(tmp_path)!r}), "power cut", 3).install()
Path({str(file)!r}).write_text("never synced")
Path({str(other)!r}).write_text("synced by another")
theirs({str(other)!r}, {str(file)!r})
Path({str(tmp_path / "run" / "more")!r}).write_text("x")
"""
    assert subprocess.run([sys.executable, "-c", write]).returncode == -9
    assert file.read_text() == "synced by another"


def test_the_disk_knows_its_own_files_alone(tmp_path):
    disk = Disk(tmp_path / "run", tmp_path, None, 0)
    assert disk.holds(tmp_path / "run" / "records" / "one")
    assert not disk.holds(tmp_path / "runner")
    assert not disk.holds(7)
