"""The whole report: the golden one, its sentences, a half-finished run, hostile labels, and the command line.

After a wanted change, look at the difference and write the golden files again:
``GOLDEN=write python -m pytest tests/reports/test_report.py -k golden``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_run import DEMO, SMALL, FakeRun, FakeTask, Row, change_plan, facts_task, read_csv

from reports import page, plots, write_report
from reports.__main__ import main
from reports.collect import ReportError, read_run
from reports.signature import signature

GOLDEN = Path(__file__).parent / "golden"
GOLDEN_FILES = (
    *("report.md", "tables.tex", "report.json", "results.csv", "paired.csv", "cost.csv", "selection.csv"),
    *("quality_picture.csv", "forest_picture.csv"),
)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(SMALL.write(tmp_path_factory.mktemp("report") / "run")).parent


def report_of(fake: FakeRun, folder: Path, **options: Any) -> str:
    return report_of_folder(fake.write(folder), **options)


def report_of_folder(folder: Path, **options: Any) -> str:
    """The text alone: pictures take most of a report's time and have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "draw", lambda *_: [])
        return page.write_report(folder, **options).read_text(encoding="utf-8")


def opening(report: str) -> str:
    """The paragraph under the title."""
    return report.split("\n\n")[1]


def section(report: str, title: str) -> str:
    return report.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("name", GOLDEN_FILES)
def test_the_golden_report_is_made_again_to_the_letter(folder, name):
    found = (folder / name).read_text(encoding="utf-8")
    if os.environ.get("GOLDEN") == "write":
        (GOLDEN / name).write_text(found, encoding="utf-8")
    assert found == (GOLDEN / name).read_text(encoding="utf-8")


def test_a_report_made_again_from_the_folder_alone_is_the_same(folder, tmp_path):
    before = {name: (folder / name).read_bytes() for name in GOLDEN_FILES}
    moved = tmp_path / "elsewhere"
    subprocess.run(["cp", "-r", folder, moved], check=True)
    for name in GOLDEN_FILES:
        (moved / name).unlink()
    write_report(moved)
    assert {name: (moved / name).read_bytes() for name in GOLDEN_FILES} == before


def test_the_files_hold_the_columns_that_others_rely_on(folder):
    results, paired = read_csv(folder, "results.csv"), read_csv(folder, "paired.csv")
    columns = ["model", "method", "task", "bucket", "n", "clusters", "mean", "low", "high", "metric"]
    assert list(results[0]) == columns
    columns = "model,method,baseline,task,bucket,n,clusters,delta,low,high,p,p_adjusted,family,effect"
    more = "wins,ties,losses,correlation,detectable,margin,no_worse,metric"
    assert list(paired[0]) == [*columns.split(","), *more.split(",")]
    assert {row["bucket"] for row in results if row["task"] == "recall"} == {"all", "10", "100"}
    assert {row["bucket"] for row in results if row["task"] == "macro"} == {"all"}
    assert all((row["p"] != "") == (row["bucket"] == "all") for row in paired)
    assert all(0 <= float(row["mean"]) <= 100 for row in results)
    assert max(float(row["mean"]) for row in results) > 50


def test_the_json_holds_the_numbers_of_the_csv_files_and_what_they_rest_on(folder):
    found = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert set(found["tables"]) == {"results", "paired", "cost", "selection"}
    for name, rows in found["tables"].items():
        expected = read_csv(folder, f"{name}.csv")
        shown = [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows]
        assert [list(row) for row in shown] == [list(row) for row in expected]
        for row, other in zip(shown, expected, strict=True):
            assert all(text == other[key] or float(text) == float(other[key]) for key, text in row.items())
    (run,) = found["runs"]
    assert run["families"] == {"confirmatory": 2, "exploratory": 6}
    assert run["signature"].startswith("tiny@local-0123 · ")


def test_the_summary_says_which_is_best_by_how_much_whether_it_is_real_and_what_it_costs(folder):
    text = opening((folder / "report.md").read_text(encoding="utf-8"))
    (row,) = [
        row for row in read_csv(folder, "paired.csv") if (row["method"], row["task"]) == ("oprm", "macro")
    ]
    assert "`oprm` answers best of the 3 methods compared" in text
    assert f"{float(row['delta']):.1f} points above the baseline `full`" in text
    assert f"p = {float(row['p_adjusted']):.4f}" in text
    assert "times as long per question as `full`" in text


@pytest.mark.parametrize(
    ("skills", "expected"),
    [
        (
            {"full": 0.9},
            "it is the baseline. No method beats `full`; `rag:retriever=bm25` comes closest",
        ),
        ({"full": 0.62, "oprm": 0.66}, "That difference may be chance"),
        ({"oprm": 0.8, "rag:retriever=bm25": 0.8}, "cannot be told from"),
    ],
)
def test_the_summary_follows_the_numbers(tmp_path, skills, expected):
    known = {"full": 0.3, "oprm": 0.3, "rag:retriever=bm25": 0.5} | skills
    fake = replace(SMALL, skill=lambda method, *_: known.get(method, 0.1))
    assert expected in opening(report_of(fake, tmp_path))


def test_the_summary_names_no_winner_from_a_handful_of_examples(tmp_path):
    fake = replace(SMALL, tasks=(facts_task("recall", (10, 100), 5),))
    report = report_of(fake, tmp_path)
    assert "There are too few examples to name a best method" in opening(report)
    main_table = section(report, "Main table")
    assert "**1" not in main_table
    assert "▲" not in main_table.split("\n\n")[0]
    assert re.search(r"\| `oprm` \| \(\d+\.\d\) \| \(\d+\.\d\) \|", main_table)


def test_one_method_alone_is_reported_without_a_comparison(tmp_path):
    report = report_of(replace(SMALL, methods=SMALL.methods[:1]), tmp_path)
    assert "there is nothing to compare it with" in opening(report)
    assert "## Paired differences" not in report


def test_a_run_of_unanswerable_questions_alone_has_no_main_table(tmp_path):
    report = report_of(replace(SMALL, tasks=SMALL.tasks[1:2]), tmp_path)
    assert "Every question of this run is unanswerable" in opening(report)
    assert "## Main table" not in report
    assert "says Error when the answer is absent" in report


def test_a_half_finished_run_says_what_is_missing(tmp_path):
    def edit(row: Row) -> Row | None:
        number = int(row["example"][-2:])
        if row["method"] == "rag:retriever=bm25":
            return (
                None if row["task"] == "needle" or (row["task"] == "recall_absent" and number >= 5) else row
            )
        return None if row["method"] == "closed_book" else row

    report = report_of(replace(SMALL, edit=edit), tmp_path)
    assert "**This run is not finished: 183 of 496 answers are missing**" in opening(report)
    failures = section(report, "Failures and missing answers")
    assert "| `rag:retriever=bm25` | 124 | 65 | 59 | 0 | 0 | 0 | 0 |" in failures
    assert "- `rag:retriever=bm25` on `recall_absent`: 19 missing of 24" in failures
    assert "- `closed_book` on `recall`: 60 missing of 60" in failures
    assert "`rag:retriever=bm25` has no macro mean: it has no scored answer on `needle`." in report
    assert "`recall_absent` (n 5–24)" in report
    paired = {
        (row["method"], row["task"]): row
        for row in read_csv(tmp_path, "paired.csv")
        if row["bucket"] == "all"
    }
    assert paired["rag:retriever=bm25", "recall_absent"]["n"] == "5"
    assert ("rag:retriever=bm25", "macro") not in paired


def test_failures_score_zero_are_counted_and_quoted(tmp_path):
    def edit(row: Row) -> Row:
        broken = row["method"] == "oprm" and row["task"] == "recall" and row["example"][-1] == "7"
        return row | {"error": "RuntimeError: a | b\n`c`", "score": 0.0} if broken else row

    report = report_of(replace(SMALL, edit=edit), tmp_path)
    assert "6 answers failed and score zero." in opening(report)
    assert "- `oprm` on `recall`: 6 failed of 60" in report
    assert "- 6 × `RuntimeError: a | b 'c'`" in report


def test_controls_are_marked_in_every_table_and_adjusted_in_none(folder):
    report = (folder / "report.md").read_text(encoding="utf-8")
    rows = [line for line in report.split("\n") if line.startswith("| `closed_book`")]
    assert len(rows) >= 10
    assert all(row.startswith("| `closed_book` (control) |") for row in rows)
    paired = [row for row in read_csv(folder, "paired.csv") if row["method"] == "closed_book"]
    assert {(row["family"], row["p_adjusted"]) for row in paired} == {("control", "")}


def test_every_table_has_a_signature(folder):
    report = (folder / "report.md").read_text(encoding="utf-8")
    tables, signatures = report.count("| ---: |\n"), report.count("<sub>Signature: `tiny@local-0123 · ")
    assert tables >= 8
    assert signatures == tables + report.count("![")
    assert "Holm m=2 · Benjamini-Hochberg m=6" in section(report, "Main table")


def test_two_reports_that_differ_in_the_metric_alone_differ_in_every_file_of_numbers(tmp_path):
    fake = replace(SMALL, tasks=(facts_task("lcc", (10,), 6), facts_task("rb", (10,), 6)))
    kinds = ("difflib", "levenshtein")
    for kind in kinds:
        report_of(replace(fake, metric=f"code_similarity_{kind}@1"), tmp_path / kind)
    for name in ("report.md", "results.csv", "paired.csv", "report.json", "report.html", "tables.tex"):
        texts = [(tmp_path / kind / name).read_text(encoding="utf-8").replace("\\_", "_") for kind in kinds]
        for kind, text in zip(kinds, texts, strict=True):
            assert f"code_similarity_{kind}@1" in text
            assert all(f"code_similarity_{other}" not in text for other in kinds if other != kind)
    assert "`tiny@local-0123 · lcc@1, rb@1 (code_similarity_levenshtein@1) · n" in (
        tmp_path / "levenshtein" / "report.md"
    ).read_text(encoding="utf-8")


def test_a_signature_names_a_metric_once_behind_all_of_its_tasks(tmp_path):
    tasks = tuple(facts_task(name, (10,), 6) for name in ("qasper", "lcc", "hotpotqa", "rb"))
    fake = replace(SMALL, tasks=tasks)
    run = read_run(fake.write(tmp_path))
    metrics = {"qasper": "qa_f1@1", "lcc": "code@2", "hotpotqa": "qa_f1@1", "rb": ""}
    run = replace(run, tasks=tuple(replace(task, metric=metrics[task.name]) for task in run.tasks))
    assert " · qasper@1, hotpotqa@1 (qa_f1@1); lcc@1 (code@2); rb@1 · n" in signature(run, list(metrics))
    assert " · lcc@1 (code@2) · n" in signature(run, ["lcc"])


def test_the_gpus_that_gave_the_answers_stand_in_the_signature(tmp_path):
    fake = replace(
        SMALL,
        tasks=(facts_task("recall", (10,), 6),),
        settings={"device": "cuda", "kernel": "mamba_ssm"},
        edit=lambda row: row | {"session": row["example"][-1]},
    )
    fake.write(tmp_path)
    gpus = ("NVIDIA H100 80GB HBM3", "NVIDIA H200", "NVIDIA H100 80GB HBM3")
    sessions = {
        str(number): {"created": str(number), "machine": {"gpu": name}} for number, name in enumerate(gpus)
    }
    change_plan(tmp_path, sessions=sessions)
    report = report_of_folder(tmp_path)
    assert "· cuda (NVIDIA H100 80GB HBM3 and NVIDIA H200) mamba_ssm float32`" in report
    assert "3 sessions differ in machine" in report


def test_a_machine_that_is_no_object_is_one_line(tmp_path):
    SMALL.write(tmp_path)
    change_plan(tmp_path, machine="here")
    with pytest.raises(ReportError, match='machine is "here", expected an object'):
        report_of_folder(tmp_path)


def test_a_context_cut_to_the_window_is_said_in_the_methods_name(tmp_path):
    fake = replace(SMALL, edit=lambda row: row | {"truncated": row["method"] == "full"})
    report = report_of(fake, tmp_path)
    assert "| `full` (cut, baseline) |" in section(report, "Main table")


def test_hostile_labels_do_no_harm(tmp_path):
    evil = "=cmd|' /C calc'!A0\n| x | `<b>$"
    fake = replace(SMALL, methods=(("full", False), (evil, False)))
    report = report_of(fake, tmp_path)
    rows = [line for line in report.split("\n") if "calc" in line and line.startswith("|")]
    main_table = section(report, "Main table")
    (row,) = [line for line in main_table.split("\n") if "calc" in line and line.startswith("|")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 5
    assert all("\\|" in row for row in rows)
    assert {row["method"] for row in read_csv(tmp_path, "results.csv")} == {"full", f"'{evil}"}


# --- margins, failures, the names that a report keeps for itself


def test_a_margin_says_who_is_no_worse_in_every_table_of_differences(tmp_path):
    skills = {"full": 0.9, "oprm": 0.9, "rag:retriever=bm25": 0.2}
    fake = replace(SMALL, skill=lambda method, *_: skills.get(method, 0.1))
    section_text = section(report_of(fake, tmp_path, margin=0.15), "Paired differences")
    verdicts = dict(re.findall(r"\| `([\w:=]+)`[^|]*\| macro .* \| ([^|]+) \|\n", section_text))
    assert verdicts == {"oprm": "yes", "rag:retriever=bm25": "not shown", "closed_book": "–"}
    assert "no worse by 15" in section_text
    assert "margin 15" in section_text
    found = {
        row["method"]: (row["margin"], row["no_worse"])
        for row in read_csv(tmp_path, "paired.csv")
        if row["task"] == "macro"
    }
    assert found == {"oprm": ("15", "1"), "rag:retriever=bm25": ("15", "0"), "closed_book": ("15", "")}


def test_failures_are_left_out_on_request_from_both_sides_and_the_signature_says_so(tmp_path):
    def edit(row: Row) -> Row:
        broken = row["method"] == "oprm" and row["task"] == "recall" and row["example"][-1] == "7"
        return row | {"error": "RuntimeError: x", "score": 0.0} if broken else row

    report = report_of(replace(SMALL, edit=edit), tmp_path, failures="exclude")
    (row,) = [
        row
        for row in read_csv(tmp_path, "paired.csv")
        if (row["method"], row["task"], row["bucket"]) == ("oprm", "recall", "all")
    ]
    assert row["n"] == "54"
    assert "6 answers failed and are left out" in opening(report)
    assert "failures excluded" in report
    assert "failures score zero" not in report


@pytest.mark.parametrize(
    ("task", "bucket", "message"),
    [
        ("macro", "10", "task called 'macro'"),
        ("all", "10", "task called 'all'"),
        ("qa", "all", "bucket called 'all'"),
    ],
)
def test_names_that_stand_for_a_sum_are_refused(tmp_path, task, bucket, message):
    fake = replace(SMALL, tasks=(FakeTask(task, ((bucket, {}),), 6),), skill=lambda *_: 0.5)
    with pytest.raises(ReportError, match=message):
        report_of(fake, tmp_path)


# --- the command line


def run_program(*arguments: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "reports", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


NO_PICTURES = replace(SMALL, tasks=(facts_task("recall", (10,), 6),))


def test_one_folder_gets_its_report(tmp_path, capsys):
    folder = NO_PICTURES.write(tmp_path / "one")
    assert main([str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}/report.md\n"
    names = ("report.md", "report.html", "report.json", "tables.tex", "paired.csv")
    assert all((folder / name).is_file() for name in names)


def test_a_bad_folder_is_one_line_on_stderr_and_status_two(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere")]) == 2
    message = "is not a folder: expected a run folder such as runs/demo"
    assert capsys.readouterr().err == f"python -m reports: error: {tmp_path}/nowhere {message}\n"


@pytest.mark.parametrize(
    "flags", [["--margin", "0"], ["--margin", "100"], ["--out", "x"], ["--failures", "no"]]
)
def test_a_flag_that_makes_no_sense_is_one_line_and_status_two(tmp_path, capsys, flags):
    with pytest.raises(SystemExit) as left:
        main([str(tmp_path), *flags])
    assert left.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_gives_examples():
    done = run_program("--help")
    assert done.returncode == 0
    assert "python -m reports runs/demo" in done.stdout


def test_the_reports_import_neither_torch_nor_matplotlib():
    names = ("page", "__main__", "plots", "charts", "across", "against", "planning", "html_page")
    code = f"import sys; {'; '.join(f'import reports.{name}' for name in names)}; print(*sys.modules)"
    done = run_program(code=code)
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "numpy" in loaded
    assert not loaded & {"torch", "transformers", "matplotlib", "statsmodels", "pandas"}


def test_the_demo_runs_numbers_tell_its_story(tmp_path):
    report_of(DEMO, tmp_path)
    means = {
        (row["method"], row["bucket"]): float(row["mean"])
        for row in read_csv(tmp_path, "results.csv")
        if row["task"] == "recall"
    }
    assert means["full", "10"] - means["full", "100"] > 50
    assert means["oprm", "10"] - means["oprm", "100"] < 15
    assert json.loads((tmp_path / "run.json").read_text())["settings"]["baseline"] == "full"
