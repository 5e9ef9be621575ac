"""The command line, with a scripted reader in place of the engine: what it prints, returns, survives."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import run_compare

ROOT = Path(__file__).parents[1]
FAKES = ROOT / "tests" / "comparison"
READER = ["--model", "fake/reader", "--benchmark", "comparison_fakes:words"]
READER += ["--baseline", "comparison_fakes:Last", "--method", "comparison_fakes:Last"]
FLAGS = (
    "model",
    "method",
    "benchmark",
    "baseline",
    "limit",
    "seed",
    "device",
    "dtype",
    "data-dir",
    "out",
    "shard",
    "timeout",
    "executor",
    "workers",
    "ray-address",
    "config",
)


@pytest.fixture
def cli(monkeypatch, tmp_path, capsys):
    """Runs the command line in this process; returns the exit status, stdout and stderr."""
    monkeypatch.syspath_prepend(FAKES)
    monkeypatch.chdir(tmp_path)
    import comparison_fakes

    comparison_fakes.install(monkeypatch)

    def go(*arguments):
        try:
            status = run_compare.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = stop.code
        return (status, *capsys.readouterr())

    return go


def records_of(folder):
    paths = sorted(Path(folder).glob("records/*/*/*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]


def refused(result, *parts):
    status, _, err = result
    assert status == 2
    assert err.count("\n") == 1
    assert err.startswith("run_compare.py: error: ")
    for part in parts:
        assert part in err
    return True


def test_a_comparison_ends_with_its_table_and_the_place_of_its_report(cli, tmp_path):
    status, out, err = cli(*READER, "--method", "wrong=comparison_fakes:Last:wrong=true", "--out", "runs/x")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert "2 methods x 1 tasks: 12 answers" in out
    assert lines[-1] == "report: runs/x/report.md"
    assert (tmp_path / "runs/x/report.md").read_text()
    table = [
        line.split()[:2] for line in lines if line.startswith(("method ", "wrong ", "comparison_fakes:Last "))
    ]
    assert table == [["method", "words"], ["comparison_fakes:Last", "100.0"], ["wrong", "0.0"]]
    assert len(records_of("runs/x")) == 12


def test_the_same_command_again_answers_nothing(cli):
    cli(*READER, "--out", "runs/x")
    before = records_of("runs/x")
    status, out, _ = cli(*READER, "--out", "runs/x")
    assert status == 0
    assert "0 answers, 6 found in the run folder" in out
    assert records_of("runs/x") == before


def test_the_command_is_kept_as_it_was_given(cli):
    cli(*READER, "--out", "runs/x y")
    info = json.loads(Path("runs/x y/run.json").read_text())
    assert info["command"].startswith("python run_compare.py --model fake/reader")
    assert info["command"].endswith("--out 'runs/x y'")


def test_flags_win_over_the_config_file(cli, tmp_path):
    (tmp_path / "run.toml").write_text(
        'model = "fake/reader"\nmethod = ["comparison_fakes:Last"]\nbaseline = "comparison_fakes:Last"\n'
        'benchmark = ["comparison_fakes:words"]\nlimit = 2\nout = "runs/config"\n'
    )
    assert cli("--config", "run.toml")[0] == 0
    assert len(records_of("runs/config")) == 2
    assert cli("--config", "run.toml", "--limit", 3, "--out", "runs/flags")[0] == 0
    assert len(records_of("runs/flags")) == 3


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ('out = ""', "--out is empty, expected a folder"),
        ('dtype = "int8"', "run.toml has dtype = 'int8', expected auto or float32 or float16 or bfloat16"),
    ],
)
def test_a_wrong_value_in_the_config_file_is_refused_before_the_plan(cli, tmp_path, line, part):
    (tmp_path / "run.toml").write_text(f"{line}\n")
    result = cli(*READER, "--config", "run.toml")
    assert refused(result, part)
    assert result[1] == ""
    assert [path.name for path in tmp_path.iterdir()] == ["run.toml"]


def test_a_dry_run_prints_the_grid_and_writes_nothing(cli, tmp_path, monkeypatch):
    monkeypatch.delattr(sys.modules["models.engine"], "Engine")
    status, out, _ = cli(*READER, "--dry-run", "--limit", 4)
    assert status == 0
    assert "words  4 of 6 examples (a: 2, b: 2)" in out
    assert "1 methods x 1 tasks: 4 answers" in out
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_starts_no_worker_and_counts_its_shard(cli, tmp_path, monkeypatch):
    monkeypatch.delattr(sys.modules["models.engine"], "Engine")
    monkeypatch.setitem(sys.modules, "ray", None)
    status, out, _ = cli(*READER, "--dry-run", "--executor", "ray", "--timeout", 60, "--shard", "2/4")
    assert status == 0
    assert "1 methods x 1 tasks: 6 answers\nshard    2 of 4: 2 of them\n" in out
    assert list(tmp_path.iterdir()) == []


def test_the_shard_that_finds_the_grid_complete_makes_the_report(cli, tmp_path):
    status, out, err = cli(*READER, "--out", "a run", "--shard", "2/2")
    assert (status, err) == (0, "")
    assert out.endswith(
        "\n3 answers\n3 answers are left to other shards; the last makes the report, and so does: "
        "python -m reports 'a run'\n"
    )
    assert not (tmp_path / "a run" / "report.md").exists()
    status, out, _ = cli(*READER, "--out", "a run", "--shard", "1/2")
    assert status == 0
    assert out.splitlines()[-1] == "report: a run/report.md"
    assert "comparison_fakes:Last  100.0" in out
    assert len(records_of("a run")) == 6


def test_a_running_shard_refuses_a_serial_run_before_its_reader_is_loaded(cli, tmp_path, monkeypatch):
    from comparison.locks import writer_lock

    cli(*READER, "--out", "run", "--shard", "1/2")
    monkeypatch.delattr(sys.modules["models.engine"], "Engine")
    with writer_lock(tmp_path / "run", "shard-2-of-2"):
        assert refused(cli(*READER, "--out", "run"), "being written by pid", "as 'shard-2-of-2'")


def test_the_list_needs_no_reader(cli):
    status, out, _ = cli("--list")
    assert status == 0
    assert "oprm" in out
    assert "recall" in out
    assert "bm25" in out


def test_the_help_shows_every_flag_with_examples(cli):
    status, out, _ = cli("--help")
    assert status == 0
    for flag in (*FLAGS, "dry-run", "list"):
        assert f"--{flag}" in out
    assert "python run_compare.py --method" in out


def test_the_help_loads_nothing_heavy():
    code = (
        "import sys, run_compare\n"
        "try:\n    run_compare.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'numpy', 'comparison.plan', 'tqdm'} & set(sys.modules)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--metod", "full"], "--metod"),
        (["--limit", "many"], "--limit"),
        (["--limit", "0"], "--limit is 0"),
        (["--device", "tpu"], "--device"),
        (["--shard", "3/2"], "--shard '3/2': expected i/n with i from 1 to n"),
        (["--timeout", "0"], "--timeout is 0"),
        (["--timeout", "soon"], "--timeout"),
        (["--workers", "2"], "--workers is for --executor ray"),
        (["--executor", "slurm"], "--executor"),
        (["--method", "comparison_fakes:Last:wron=1"], "did you mean wrong?"),
        (["--method", "fulll"], "full"),
        (["--benchmark", "recal"], "recall"),
        (["--baseline", "fulll"], "full"),
        (["--model", "tinny"], "tiny"),
        (["--config", "none.toml"], "cannot read none.toml"),
        (
            ["--benchmark", "comparison_fakes:words:bad=file"],
            "words.jsonl:7 is not JSON, expected one object",
        ),
        (["--benchmark", "comparison_fakes:words:bad=question,n=7"], "words-1 has no question"),
        (["--benchmark", "comparison_fakes:words:bad=empty"], "has no examples"),
        (["--out", "file/run"], "file is a file, expected a folder"),
        (["--out", "file"], "--out file: "),
        (["--out", ""], "--out is empty, expected a folder"),
        (["--out", "  "], "--out is empty, expected a folder"),
        (["--data-dir", ""], "--data-dir is empty, expected a folder"),
        (["--config", ""], "argument --config: it is empty, expected a path"),
        (["--method", "x=comparison_fakes:Shy"], "method x: a reader with a window is needed"),
    ],
)
def test_a_users_error_is_one_line_and_status_2(cli, tmp_path, arguments, part):
    (tmp_path / "file").write_text("")
    flags = dict(zip(READER[::2], READER[1::2], strict=True)) | dict([arguments])
    assert refused(cli(*(text for flag in flags.items() for text in flag)), part)


def test_another_setting_for_a_run_folder_is_one_line_and_status_2(cli):
    cli(*READER)
    before = records_of("runs/compare")
    assert refused(cli(*READER, "--seed", 1), "seed 0", "choose another --out")
    assert records_of("runs/compare") == before


def test_too_many_failures_are_one_line_and_keep_their_records(cli):
    result = cli(*READER, "--method", "comparison_fakes:Says")
    assert refused(result, "5 answers in a row failed", "no answer to What comes last")
    assert sum(record["error"] is not None for record in records_of("runs/compare")) == 5


def test_a_full_disk_is_one_line_and_keeps_the_records_before_it(cli, monkeypatch):
    def fill_up(descriptor):
        if len(records_of("runs/compare")) == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("comparison.records.os.fsync", fill_up)
    assert refused(cli(*READER), "cannot write", "No space left on device", "run the same command again")
    assert len(records_of("runs/compare")) == 4


def test_a_bug_keeps_its_traceback(cli, monkeypatch):
    def broken(*_):
        raise KeyError("a bug")

    monkeypatch.setattr("comparison.grid.load_tasks", broken)
    with pytest.raises(KeyError, match="a bug"):
        cli(*READER)


# A process that is killed

GATED = [
    *READER[:4],
    "--method",
    "comparison_fakes:Gated",
    "--baseline",
    "comparison_fakes:Gated",
    "--out",
    "run",
]


def start(folder):
    return subprocess.Popen(
        [sys.executable, str(FAKES / "comparison_fakes.py"), *GATED],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell ignores it
    )


def stop_midway(folder, how):
    """Send a signal while the method waits at its gate; returns the process's status and stderr."""
    process = start(folder)
    while len(lines_of(folder)) < 3 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(how)
    _, err = process.communicate()
    assert 1 <= len(lines_of(folder)) <= 5
    return process.returncode, err


def lines_of(folder):
    return [
        line for path in folder.glob("run/records/*/*/*.jsonl") for line in path.read_bytes().splitlines()
    ]


def assert_complete(folder):
    (folder / "gate").touch()
    process = start(folder)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "3 answers, 3 found in the run folder" in out
    found = sorted(json.loads(line)["example"] for line in lines_of(folder))
    assert found == [f"words-{number}" for number in range(6)]


def test_a_killed_run_goes_on_without_a_lost_or_doubled_record(tmp_path):
    status, _ = stop_midway(tmp_path, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert_complete(tmp_path)


def test_an_interrupted_run_says_how_to_go_on_and_does(tmp_path):
    status, err = stop_midway(tmp_path, signal.SIGINT)
    assert status == 130
    assert err == "interrupted: the answers so far are kept, the same command goes on from there\n"
    assert_complete(tmp_path)
