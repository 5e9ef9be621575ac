"""Processes that answer in the driver's place: killed, dying, interrupted, and always with the same records."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from comparison_fakes import FakeEngine, Last
from test_shard import answers

from comparison.plan import make_plan
from comparison.records import read_records
from comparison.run import RunStopped
from comparison.workers import LocalWorkers, Setup, WorkerError

FAKES = Path(__file__).parent / "comparison_fakes.py"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def errors(folder):
    return {record.example: record.error for record in read_records(folder) if record.error}


def children():
    """The processes that this one has started and that are still there, by what they run."""
    mine = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for pid in mine]
    return [line for line in lines if "spawn_main" in line]


def test_a_watched_worker_makes_the_records_of_a_serial_run(run, tmp_path):
    run("Last", "Seeing", "Says:what=surrogate", out=tmp_path / "serial")
    Last.calls.clear()
    tally = run("Last", "Seeing", "Says:what=surrogate", timeout=60)
    assert (tally.answered, tally.undefined, tally.failed) == (18, 3, 0)
    assert answers(tmp_path / "run") == answers(tmp_path / "serial")
    assert Last.calls == []
    assert children() == []
    cold = [record.example for record in read_records(tmp_path / "run") if record.cold]
    assert cold == ["words-0"] * 3


def test_a_run_begun_in_one_process_goes_on_in_another(run):
    run("Last", limit=2)
    tally = run("Last", timeout=60)
    assert (tally.answered, tally.found) == (4, 2)
    assert run("Last").found == 6


def test_an_answer_that_hangs_is_an_error_that_the_next_run_tries_again(run, tmp_path):
    tally = run("Hangs", timeout=1)
    assert (tally.answered, tally.failed) == (6, 1)
    assert errors(tmp_path / "run") == {"words-2": "timeout: no answer within 1 s"}
    Path("awake").touch()
    tally = run("Hangs", timeout=60)
    assert (tally.answered, tally.found, tally.failed) == (1, 5, 0)
    assert errors(tmp_path / "run") == {}


def test_an_example_is_done_again_when_its_worker_dies_and_is_an_error_when_two_die(run, tmp_path):
    tally = run("Dies:times=1", "Dies:times=2", timeout=60)
    assert (tally.answered, tally.failed) == (12, 1)
    died = "the worker died twice on this example: killed by SIGKILL"
    assert errors(tmp_path / "run") == {"words-2": died}
    assert run("Dies:times=1", "Dies:times=2", timeout=60).answered == 1
    assert errors(tmp_path / "run") == {}


def test_five_failures_in_a_row_stop_the_run_and_its_worker(run):
    with pytest.raises(RunStopped, match="5 answers in a row failed"):
        run("Says", timeout=60)
    assert children() == []


def test_imported_predictions_never_go_to_a_worker(run, tmp_path):
    (tmp_path / "theirs").mkdir()
    rows = "".join(f'{{"_id": "words-{n}", "pred": "word{n}"}}\n' for n in range(6))
    (tmp_path / "theirs" / "words.jsonl").write_text(rows)
    tally = run("Dies:at=0,times=9", **{"import-predictions": ["theirs=theirs"]}, limit=1, timeout=60)
    assert (tally.answered, tally.failed) == (2, 1)
    imported = [record for record in read_records(tmp_path / "run") if record.method == "theirs"]
    assert [(record.score, record.cost) for record in imported] == [(1.0, {})]


class Unopened:
    """A way to open a reader that does not come about."""

    def __init__(self, problem):
        self.problem = problem

    def __call__(self):
        raise self.problem


def setup(load=FakeEngine, method="comparison_fakes:Last"):
    plan = make_plan({"model": "fake/reader", "method": [method], "baseline": method})
    return Setup.of(plan, load)


def test_a_reader_that_cannot_be_opened_is_a_line_and_a_bug_has_its_traceback():
    from comparison.schedule import Workforce

    with (
        pytest.raises(WorkerError, match=r"^no reader\. here$"),
        Workforce(LocalWorkers(setup(Unopened(ValueError("no reader.\nhere")))), None),
    ):
        pass
    with (
        pytest.raises(RuntimeError, match=r"(?s)Traceback.*KeyError: 'a bug'"),
        Workforce(LocalWorkers(setup(Unopened(KeyError("a bug")))), None),
    ):
        pass
    assert children() == []


def test_methods_are_resolved_by_their_specs_with_their_options_and_keep_their_labels():
    workers = LocalWorkers(setup(method="mine=comparison_fakes:Last:wrong=true"))
    assert workers.setup.specs == {"mine": "comparison_fakes:Last:wrong=true"}
    assert workers.setup.open().facts.methods["mine"].takes == frozenset()


def test_a_method_that_refuses_the_reader_is_named_by_its_label():
    failed = setup(method="mine=comparison_fakes:Shy").open()
    assert failed.line == "method mine: a reader with a window is needed"


# A driver that ends


def start(folder, *arguments):
    """A command line with a watched worker, whose method hangs at its third question."""
    method = ["--method", "comparison_fakes:Hangs", "--baseline", "comparison_fakes:Hangs"]
    flags = ["--model", "fake/reader", "--benchmark", "comparison_fakes:words", "--out", "run"]
    return subprocess.Popen(
        [sys.executable, str(FAKES), *flags, *method, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell ignores it
    )


def family(group):
    """The processes of a group that are alive."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def until(condition, seconds=120):
    limit = time.monotonic() + seconds
    while not condition() and time.monotonic() < limit:
        time.sleep(0.02)
    return condition()


def lines_of(folder):
    return [
        line for path in folder.glob("run/records/*/*/*.jsonl") for line in path.read_bytes().splitlines()
    ]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_worker_outlives_its_driver(tmp_path, how):
    process = start(tmp_path, "--timeout", "60")
    assert until(lambda: len(lines_of(tmp_path)) == 2 or process.poll() is not None)
    assert len(family(process.pid)) >= 2
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does: the worker gets it too
    else:
        process.send_signal(how)
    _, err = process.communicate(timeout=120)
    assert until(lambda: family(process.pid) == [])
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    if how == signal.SIGINT:
        assert err == "interrupted: the answers so far are kept, the same command goes on from there\n"
    assert len(lines_of(tmp_path)) == 2
    (tmp_path / "awake").touch()
    process = start(tmp_path, "--timeout", "60")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert "4 answers, 2 found in the run folder" in out
