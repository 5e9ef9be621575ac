"""What all programs share: an error is one line with status 2, Ctrl-C is one line with status 130."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from comparison.command_line import Parser, path_of, run_program

ROOT = Path(__file__).parents[2]
GO_ON = "interrupted: the answers so far are kept, the same command goes on from there"
FROM_CHECKPOINT = "interrupted: the same command goes on from the last checkpoints"
INTERRUPTED = [
    ("run_compare", "--dry-run", "comparison.plan.make_plan", "interrupted"),
    ("run_compare", "--list", "comparison.plan.listing", "interrupted"),
    ("run_compare", "doctor", "comparison.doctor.diagnose", "interrupted"),
    ("run_compare", "--limit 1", "comparison.plan.make_plan", GO_ON),
    ("reports.__main__", "runs/none", "reports.page.write_report", "interrupted"),
    ("methods.__main__", "check full", "methods.__main__.open_trial", "interrupted"),
    ("methods.upi.__main__", "calibrate --model tiny", "models.engine.Engine.load", "interrupted"),
    ("methods.longmamba.__main__", "calibrate --model tiny", "models.engine.Engine.load", "interrupted"),
    (
        "methods.decimamba.__main__",
        "sweep --model tiny --benchmark needle",
        "methods.decimamba.__main__.make_plan",
        "interrupted",
    ),
    (
        "benchmarks.longbench.__main__",
        "score pred",
        "benchmarks.longbench.__main__.score_folder",
        "interrupted",
    ),
    (
        "benchmarks.hotpotqa.__main__",
        "score --gold a --predictions b",
        "benchmarks.hotpotqa.__main__.score_files",
        "interrupted",
    ),
    (
        "benchmarks.infinitebench.__main__",
        "score --task passkey a",
        "benchmarks.infinitebench.__main__.score_file",
        "interrupted",
    ),
    ("models.efficiency", "--lengths 1k", "models.efficiency.cells_of", "interrupted"),
    ("models.tiny.capacity", "--state 4", "models.tiny.capacity.measure_all", FROM_CHECKPOINT),
    ("models.tiny.evaluate", "tiny", "models.tiny.evaluate.measured", "interrupted"),
]


@pytest.mark.parametrize(
    ("program", "arguments", "inside", "line"), INTERRUPTED, ids=[f"{row[0]} {row[1]}" for row in INTERRUPTED]
)
def test_ctrl_c_is_one_line_that_is_true_of_the_command(
    program, arguments, inside, line, monkeypatch, capsys
):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(inside, interrupt)
    assert import_module(program).main(arguments.split()) == 130
    assert capsys.readouterr().err == f"{line}\n"


@pytest.mark.parametrize(("program", "arguments"), {row[0]: (row[0], row[1]) for row in INTERRUPTED}.values())
def test_a_flag_that_is_not_there_is_one_line_in_every_program(program, arguments, capsys):
    with pytest.raises(SystemExit) as left:
        import_module(program).main([*arguments.split(), "--no-such-flag"])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "unrecognized arguments: --no-such-flag (--help shows all flags)" in said


def test_a_users_error_is_one_line_and_a_bug_keeps_its_traceback(capsys):
    def fail(problem):
        raise problem

    assert run_program("python -m this", lambda: fail(ValueError("bad\nthing \x1b[2J"))) == 2
    assert capsys.readouterr().err == "python -m this: error: bad thing \N{REPLACEMENT CHARACTER}[2J\n"
    assert run_program("python -m this", lambda: fail(FileNotFoundError(2, "No such file", "a.txt"))) == 2
    assert capsys.readouterr().err == "python -m this: error: a.txt: No such file\n"
    assert run_program("python -m this", lambda: 1) == 1
    with pytest.raises(KeyError):
        run_program("python -m this", lambda: fail(KeyError("a bug")))


@pytest.mark.parametrize("given", ["", "  "])
def test_a_blank_path_is_refused_and_no_flag_is_abbreviated(given, capsys):
    flags = Parser(prog="python -m this")
    flags.add_argument("--out", type=path_of)
    for arguments, part in (
        (["--out", given], "--out: it is empty, expected a path"),
        (["--ou", "x"], "--ou"),
    ):
        with pytest.raises(SystemExit):
            flags.parse_args(arguments)
        said = capsys.readouterr().err
        assert part in said
        assert said.count("\n") == 1


# Where a program is started


def python(*arguments, stdout=subprocess.PIPE, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT, env=os.environ | environment, stdout=stdout, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip


def test_a_backend_of_the_notebook_that_started_it_does_not_stop_a_report(run, tmp_path):
    run("Last", "Sometimes", limit=2)
    done = python("-m", "reports", str(tmp_path / "run"), MPLBACKEND="not-in-this-environment")
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "run" / "quality.png").is_file()


def test_what_the_terminal_cannot_show_is_replaced():
    code = "from comparison.command_line import run_program as run; run('this', lambda: print('5\u20137 \u00b7') or 0)"
    done = python("-c", code, PYTHONIOENCODING="ascii")
    assert (done.stdout, done.stderr) == (b"5?7 ?\n", b"")


def test_a_program_whose_standard_output_is_closed_does_its_work(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)  # as Python has it behind >&-
    assert run_program("this", lambda: print("x") or 0) == 0


@pytest.mark.parametrize("lines", [1, 100_000])  # in the buffer until the end, and more than it holds
def test_a_program_that_nobody_reads_on_ends_without_a_word(lines):
    reading, writing = os.pipe()
    os.close(reading)
    code = "import sys; from comparison.command_line import run_program as run; "
    code += f"sys.exit(run('this', lambda: print('line\\n' * {lines}) or 0))"
    done = python("-c", code, stdout=writing, PYTHONUNBUFFERED="")
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
