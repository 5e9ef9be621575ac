"""What a report says of how to read it: once, before the tables, in every format, in sentences that can be read."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from fake_run import SMALL, FakeRun, change_plan, facts_task

from reports import page, plots
from reports.across import write_joined_report
from reports.score_tables import FEW

FEW_QUESTIONS = replace(SMALL, tasks=(facts_task("recall", (10, 100), 5),))


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "draw", lambda *_: [])


@pytest.mark.parametrize("controls", [True, False])
def test_what_holds_for_every_table_is_said_once_behind_the_result_in_every_format(tmp_path, controls):
    methods = SMALL.methods if controls else SMALL.methods[:3]
    folder = replace(FEW_QUESTIONS, methods=methods).write(tmp_path)
    report = page.write_report(folder).read_text(encoding="utf-8")
    result, reading = report.split("## How to read the tables")
    assert result.count("\n## ") == 1
    reading = reading.split("\n## ")[0]
    for words in (FEW, "Questions about one document form a cluster", "`key v1` is", "Intervals are not cut"):
        assert words in reading
        assert report.count(words) == 1
    assert report.count("A control is a yardstick") == controls
    for name, mark in (("report.html", "<li>"), ("tables.tex", "% ")):
        text = (folder / name).read_text(encoding="utf-8")
        assert text.count(FEW) == 1
        assert text.count(f"{mark}A control is a yardstick") == controls


def test_a_joined_report_says_it_once_for_all_models(tmp_path):
    folders = [of_model(model).write(tmp_path / model) for model in ("falcon", "gemma")]
    report = write_joined_report(folders).read_text(encoding="utf-8")
    assert report.count("How to read the tables") == report.count(FEW) == 1


def of_model(model: str) -> FakeRun:
    return replace(
        FEW_QUESTIONS, settings={"model": model, "path": model}, edit=lambda row: row | {"model": model}
    )


def test_no_sentence_of_a_report_is_longer_than_fifty_words(tmp_path):
    folder = replace(SMALL, edit=lambda row: row | {"truncated": True}).write(tmp_path)
    longest = max(sentences(page.write_report(folder, margin=0.02, paper=True)), key=words)
    assert words(longest) <= 50, longest


def sentences(path: Path) -> list[str]:
    """Of the prose; a semicolon ends one too."""
    lines = path.read_text(encoding="utf-8").split("## The run")[0].split("\n")
    prose = [line for line in lines if line and not line.startswith(("|", "<sub>"))]
    return [sentence for line in prose for sentence in re.split(r"(?<=[.;]) ", line)]


def words(sentence: str) -> int:
    return len(sentence.split())


def report(folder: Path) -> str:
    return page.write_report(folder).read_text(encoding="utf-8")


def test_the_machine_behind_the_seconds_is_named(tmp_path):
    SMALL.write(tmp_path)
    assert "- Machine:" not in report(tmp_path)
    known = {"cpus": 2, "processor": "AMD EPYC 9R14 (x86_64)", "system": "Linux-6.1", "device": "cpu"}
    change_plan(tmp_path, machine=known)
    assert "- Machine: `2 cores, AMD EPYC 9R14 (x86_64), Linux-6.1`\n" in report(tmp_path)
    change_plan(tmp_path, machine={"gpu": "NVIDIA H200"})
    assert "- Machine: `NVIDIA H200`\n" in report(tmp_path)


def test_every_machine_behind_the_seconds_is_named_once(tmp_path):
    replace(SMALL, edit=lambda row: row | {"session": row["example"][-1]}).write(tmp_path)
    sessions = {
        str(number): {"created": str(number), "machine": {"cpus": cores}}
        for number, cores in enumerate((2, 4, 2))
    }
    change_plan(tmp_path, sessions=sessions)
    assert "- Machine: `2 cores` and `4 cores`\n" in report(tmp_path)
