"""LongBench's own means, against the averages of its official scoring on the same rows; v2's easy and hard."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_run import SMALL, FakeRun, FakeTask, read_csv
from scipy import stats

from benchmarks.longbench import templates
from benchmarks.longbench.score import (
    ScoredRow,
    average_categories,
    average_tasks,
    bucket_scores,
    task_score,
)
from reports.collect import Run, bucket_order, read_run
from reports.official import CATEGORY_MEAN, TASK_MEAN, official_means, official_tables
from reports.page import write_report
from reports.tables import Cell

ROUNDED = 0.011
"""Officially the scores of tasks are rounded to two decimals before they are averaged, and their average again."""


def longbench(*names: str, e: bool = False, **changes: object) -> FakeRun:
    """A run of these tasks, graded, no two of them with as many rows."""
    tasks = []
    for place, name in enumerate(names):
        row = templates.row(name)
        # As in the data: the rows of the code tasks name a programming language.
        tags = {"category": row.category, "language": "python" if row.category == "code" else row.language}
        cells = [(bucket, tags) for bucket in (templates.BUCKETS if e else ("any length",))]
        tasks.append(FakeTask(f"{name}_e" if e else name, tuple(cells), 21 + 3 * place))
    label = "longbench_e" if e else "longbench"
    fake = replace(SMALL, tasks=tuple(tasks), graded=True, benchmark=label, label=label)
    return replace(fake, skill=lambda method, task, *_: len(method + task) % 7 / 7, **changes)


def scored(run: Run, method: str) -> dict[str, list[ScoredRow]]:
    return {
        task.name.removesuffix("_e"): [
            ScoredRow(record.score, record.bucket) for record in run.answers(method, task.name).values()
        ]
        for task in run.tasks
    }


def test_both_means_are_the_official_averages_of_the_english_tasks(tmp_path):
    run = read_run(longbench(*templates.TASKS).write(tmp_path))
    (found,) = official_means(run)
    assert len(found.tasks) == 16
    for method in ("full", "oprm"):
        scores = {name: task_score(rows) for name, rows in scored(run, method).items()}
        english = {name: score for name, score in scores.items() if templates.row(name).language == "en"}
        own, tasks = (found.means[method, "longbench", part] for part in (CATEGORY_MEAN, TASK_MEAN))
        assert 100 * own.mean == pytest.approx(average_categories(scores), abs=ROUNDED)
        assert 100 * tasks.mean == pytest.approx(average_tasks(english), abs=ROUNDED)
        assert abs(own.mean - tasks.mean) > 0.005
        for category in ("few-shot", "code"):
            of_tasks = [score for name, score in english.items() if templates.row(name).category == category]
            place = method, "longbench", category
            assert 100 * found.means[place].mean == pytest.approx(np.mean(of_tasks), abs=ROUNDED)


def test_the_balanced_set_has_the_official_average_of_every_length_too(tmp_path):
    run = read_run(longbench(*templates.E_TASKS, e=True).write(tmp_path))
    (found,) = official_means(run)
    scores = {name: bucket_scores(rows) for name, rows in scored(run, "oprm").items()}
    for bucket in templates.BUCKETS:
        expected = average_categories({name: each[bucket] for name, each in scores.items()})
        own = found.means["oprm", "longbench_e", f"{CATEGORY_MEAN}, {bucket}"]
        assert 100 * own.mean == pytest.approx(expected, abs=ROUNDED)


def test_the_interval_of_the_category_mean_weighs_a_row_as_its_mean_does(tmp_path):
    run = read_run(longbench("qasper", "hotpotqa", "2wikimqa", "lcc").write(tmp_path))
    (found,) = official_means(run)
    own = found.means["oprm", "longbench", CATEGORY_MEAN]
    shares = {"qasper": 1 / 3, "hotpotqa": 1 / 6, "2wikimqa": 1 / 6, "lcc": 1 / 3}
    values = {name: np.array([row.score for row in rows]) for name, rows in scored(run, "oprm").items()}
    n = sum(len(one) for one in values.values())
    squares = [np.sum((shares[name] / len(one) * (one - one.mean())) ** 2) for name, one in values.items()]
    half = stats.t.ppf(0.975, n - 1) * math.sqrt(n / (n - 1) * sum(squares))
    assert own.mean == pytest.approx(sum(shares[name] * one.mean() for name, one in values.items()))
    assert (own.low, own.high) == pytest.approx((own.mean - half, own.mean + half))
    assert (own.n, own.clusters) == (n, n)


def test_a_mean_over_categories_needs_an_answer_on_each_of_its_tasks(tmp_path):
    fake = longbench(
        "qasper",
        "hotpotqa",
        "lcc",
        edit=lambda row: None if (row["method"], row["task"]) == ("oprm", "lcc") else row,
    )
    run = read_run(fake.write(tmp_path))
    (found,) = official_means(run)
    parts = {part for method, _, part in found.means if method == "oprm"}
    assert parts == {"single-doc", "multi-doc"}
    (table,) = official_tables(run)
    (row,) = [row for row in table.rows if isinstance(row[0], Cell) and row[0].text == "oprm"]
    assert [isinstance(cell, Cell) and cell.text == "–" for cell in row] == [False] * 3 + [True] * 3


def test_one_category_alone_has_no_table(tmp_path):
    assert official_means(read_run(longbench("qasper", "narrativeqa").write(tmp_path))) == []
    assert official_means(read_run(longbench("qasper", "vcsum").write(tmp_path / "zh"))) == []


def test_the_report_says_which_mean_is_which_and_its_data_hold_both(tmp_path):
    fake = longbench("qasper", "hotpotqa", "lcc", methods=SMALL.methods[:2])
    text = write_report(fake.write(tmp_path)).read_text(encoding="utf-8")
    table = text.split("### `longbench` by category\n")[1].split("\n#")[0]
    assert "| category mean (n 72) | task mean (n 72) |" in table
    assert "of their English tasks, 3 here; over all of LongBench's 16 it is the official average" in table
    rows = {(row["method"], row["task"], row["bucket"]): row for row in read_csv(tmp_path, "results.csv")}
    (found,) = official_means(read_run(tmp_path))
    own = found.means["oprm", "longbench", CATEGORY_MEAN]
    assert float(rows["oprm", "longbench", CATEGORY_MEAN]["mean"]) == pytest.approx(100 * own.mean)
    assert f"{100 * own.mean:.1f} ± {100 * (own.mean - own.low):.1f}" in table


# --- LongBench v2


def version_two(folder: Path) -> Run:
    cells = tuple(
        (bucket, {"difficulty": level})
        for bucket in ("long", "short", "medium")
        for level in ("hard", "easy")
    )
    task = FakeTask("longbench_v2", cells, 12)
    fake = replace(
        SMALL,
        tasks=(task,),
        benchmark="longbench_v2",
        skill=lambda *_: 0.5,
        edit=lambda row: row | ({"tags": {}} if row["example"].endswith("0000") else {}),
    )
    return read_run(fake.write(folder))


def test_version_two_stands_by_difficulty(tmp_path):
    run = version_two(tmp_path)
    (table,) = official_tables(run)
    assert [cell.text for cell in table.header[1:] if isinstance(cell, Cell)] == ["easy", "hard"]
    (found,) = official_means(run)
    records = run.answers("oprm", "longbench_v2").values()
    for level, n in (("easy", 36), ("hard", 35)):
        scores = [one.score for one in records if one.tags.get("difficulty") == level]
        own = found.means["oprm", "longbench_v2", level]
        assert (own.mean, own.n) == (pytest.approx(np.mean(scores)), n)
        assert own.low < own.mean < own.high


def test_short_comes_before_medium_and_medium_before_long(tmp_path):
    assert version_two(tmp_path).buckets["longbench_v2"] == ("short", "medium", "long")
    assert sorted(["long", "a", "medium", "10", "short"], key=bucket_order) == [
        "10",
        "short",
        "medium",
        "long",
        "a",
    ]
