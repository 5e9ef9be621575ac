"""``--shard i/n``: the parts of a grid, in one folder, in any order and at the same time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from comparison_fakes import Last
from hypothesis import given, settings
from hypothesis import strategies as st

from comparison import locks, records
from comparison.folder import FolderError, example_row, write_run
from comparison.plan import PlanError, Shard
from comparison.records import read_records

STEADY = settings(derandomize=True, deadline=None)


def answers(folder):
    """What every record says, whoever wrote it and on what; no cost."""
    skipped = {"cost", "cold", "commit", "session"}
    rows = [record.to_json() for record in read_records(folder)]
    return sorted(
        ({name: value for name, value in row.items() if name not in skipped} for row in rows),
        key=lambda row: (row["method"], row["task"], row["example"]),
    )


@STEADY
@given(st.integers(1, 20), st.integers(0, 60))
def test_shards_share_out_every_place_once(of, examples):
    parts = [Shard(number, of).places(examples) for number in range(1, of + 1)]
    assert sorted(place for part in parts for place in part) == list(range(examples))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_shard_is_read_from_its_text():
    assert Shard.parse(" 2/8 ") == Shard(2, 8)
    assert Shard(2, 8).writer == "shard-2-of-8"


@pytest.mark.parametrize(
    "text",
    ["", "2", "/", "0/3", "4/3", "1/0", "-1/3", "1/2/3", "a/b", "1.0/2", "²/3", "1 /3", "1/" + "9" * 5000],
)
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(PlanError, match="expected i/n with i from 1 to n") as refusal:
        Shard.parse(text)
    assert "\n" not in str(refusal.value)


def test_shards_in_any_order_make_the_records_of_a_serial_run(run, tmp_path):
    run("Last", "Seeing", out=tmp_path / "serial")
    tallies = [run("Last", "Seeing", shard=f"{number}/4") for number in (3, 1, 4, 2)]
    assert [tally.answered for tally in tallies] == [2, 4, 2, 4]
    assert [tally.left for tally in tallies] == [10, 6, 4, 0]
    assert answers(tmp_path / "run") == answers(tmp_path / "serial")
    files = {path.name for path in (tmp_path / "run").glob("records/*/*/*.jsonl")}
    assert files == {f"words.shard-{number}-of-4.jsonl" for number in range(1, 5)}


def test_all_methods_of_an_example_are_in_one_shard(run, tmp_path):
    run("Last", "Seeing", shard="2/4")
    by_method = {
        name: {row.example for row in read_records(tmp_path / "run") if name in row.method}
        for name in ("Last", "Seeing")
    }
    assert by_method == {"Last": {"words-1", "words-5"}, "Seeing": {"words-1", "words-5"}}


def test_a_shard_that_is_repeated_goes_on_and_finds_what_others_have_given(run, tmp_path):
    run("Last", shard="1/2")
    path = next((tmp_path / "run").glob("records/*/*/words.shard-1-of-2.jsonl"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:30])
    Last.calls.clear()
    tally = run("Last", shard="1/2")
    assert (tally.answered, tally.found, tally.left) == (2, 1, 3)
    assert len(Last.calls) == 2
    tally = run("Last", shard="1/3")
    assert (tally.answered, tally.found, tally.left) == (1, 1, 2)
    tally = run("Last")
    assert (tally.answered, tally.found, tally.left) == (2, 4, 0)


def test_failures_do_not_keep_the_report_waiting(run):
    run("Sometimes", shard="1/2")
    tally = run("Sometimes", shard="2/2")
    assert (tally.failed, tally.left) == (1, 0)


def test_what_older_code_has_answered_is_left(run, monkeypatch):
    run("Last", shard="1/2")
    monkeypatch.setattr("comparison.provenance.method_version", lambda *behind: "new")
    assert run("Last", shard="2/2").left == 3


def test_a_shard_of_another_limit_waits_for_those_that_are_running(run, tmp_path):
    run("Last", shard="1/2", limit=2)
    with locks.writer_lock(tmp_path / "run", "shard-2-of-2"):
        run("Last", shard="1/2", limit=2)
        with pytest.raises(FolderError, match="is being written by shards of --limit 2, and this run has 4"):
            run("Last", shard="1/2", limit=4)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["limit"] == 2
    assert run("Last", shard="1/2", limit=4).answered == 1


def test_a_writer_begins_and_writes_its_limit_in_one_go(run, monkeypatch):
    """Shards that begin together with a larger limit must not take each other for runs of the smaller one."""
    events = []

    def logged(name, lock):
        @contextmanager
        def log(*arguments):
            with lock(*arguments):
                events.append(name)
                yield
            events.append(f"{name} given back")

        return log

    for name in ("folder_lock", "writer_lock"):
        monkeypatch.setattr(locks, name, logged(name, getattr(locks, name)))
    monkeypatch.setattr(
        "comparison.run.write_run",
        lambda *arguments, **options: events.append("run.json") or write_run(*arguments, **options),
    )
    run("Last", shard="1/2")
    assert events[:4] == ["folder_lock", "writer_lock", "run.json", "folder_lock given back"]


def test_examples_are_made_before_the_lock_for_which_other_shards_wait(run, monkeypatch):
    """A grid of long ones takes minutes: eight shards that begin together must not take them in turn."""
    held, made = [], []

    @contextmanager
    def noted(folder):
        held.append(folder)
        yield
        held.clear()

    def row(example):
        made.append((example.id, bool(held)))
        return example_row(example)

    monkeypatch.setattr(locks, "folder_lock", noted)
    monkeypatch.setattr("comparison.folder.example_row", row)
    run("Last", shard="1/2")
    assert made == [(f"words-{number}", False) for number in range(6)]


def test_shards_that_run_at_the_same_time_lose_and_double_nothing(tmp_path):
    flags = ["--model", "fake/reader", "--benchmark", "comparison_fakes:words:n=40", "--out", "run"]
    flags += ["--method", "comparison_fakes:Last", "--baseline", "comparison_fakes:Last"]
    fakes = Path(__file__).parent / "comparison_fakes.py"
    running = [
        subprocess.Popen(
            [sys.executable, str(fakes), *flags, "--shard", f"{number}/4"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(1, 5)
    ]
    said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * 4, said
    assert any(text.endswith("report: run/report.md\n") for text in said)
    files = (tmp_path / "run").glob("records/*/*/*.jsonl")
    given = Counter(record.example for path in files for record in records.read_file(path))
    assert given == {f"words-{number}": 1 for number in range(40)}
