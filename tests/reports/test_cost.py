"""What the answers cost: warm answers only, paired ratios, and honest counts."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fake_run import SMALL, Row, facts_task
from scipy import stats

from reports.collect import read_run
from reports.cost import Tally, cost_rows, tally
from reports.cost_tables import cost_table, failure_table, selection_table
from reports.score_tables import UNKNOWN
from reports.selection import selection_rows
from reports.statistics import mean_interval

ONE_TASK = replace(SMALL, tasks=(facts_task("recall", (10, 100), 15),))


def costing(row: Row, **cost: Any) -> Row:
    return row | {"cost": row["cost"] | cost}


def seconds(run, method: str) -> np.ndarray:
    records = run.answers(method, "recall").values()
    return np.array([record.cost["seconds"]["total"] for record in records if not record.cold])


def test_latency_and_ratio_leave_the_cold_answer_out(tmp_path):
    run = read_run(ONE_TASK.write(tmp_path))
    row = cost_rows(run)["oprm", "recall"]
    warm, base = seconds(run, "oprm"), seconds(run, "full")
    assert (row.n, row.warm) == (30, 29)
    assert row.median == pytest.approx(np.median(warm))
    assert row.p90 == pytest.approx(np.percentile(warm, 90))
    low, high = stats.ttest_1samp(np.log(warm / base), 0).confidence_interval()
    assert row.ratio is not None
    found = (row.ratio.mean, row.ratio.low, row.ratio.high)
    assert found == pytest.approx((stats.gmean(warm / base), math.exp(low), math.exp(high)), rel=1e-9)


@pytest.mark.parametrize(("cluster", "clusters"), [("the only document", 1), ("", 29)])
def test_a_ratio_is_clustered_by_the_documents_and_an_answer_of_none_stands_alone(
    tmp_path, cluster, clusters
):
    run = read_run(replace(ONE_TASK, edit=lambda row: row | {"cluster": cluster}).write(tmp_path))
    ratio = cost_rows(run)["oprm", "recall"].ratio
    assert ratio is not None
    assert (ratio.n, ratio.clusters) == (29, clusters)


def test_the_ratio_of_tokens_is_taken_where_both_have_answered(tmp_path):
    def edit(row: Row) -> Row:
        number = int(row["example"][-2:])
        failed = {"error": "OutOfMemory", "score": 0.0} if row["method"] == "full" and number >= 10 else {}
        return costing(row, prompt_tokens=(2 if row["method"] == "oprm" else 1) * (number + 1)) | failed

    rows = cost_rows(read_run(replace(ONE_TASK, edit=edit).write(tmp_path)))
    row, base = rows["oprm", "recall"], rows["full", "recall"]
    assert row.prompt_tokens / base.prompt_tokens == pytest.approx(2 * 15.5 / 5.5)
    assert (row.tokens_ratio, base.tokens_ratio) == (2.0, 1.0)
    nothing = replace(ONE_TASK, imported=("full",)).write(tmp_path / "imported")
    assert cost_rows(read_run(nothing))["oprm", "recall"].tokens_ratio is None


def test_a_ratio_from_fewer_than_twenty_clusters_stands_in_parentheses(tmp_path):
    for samples, shape in ((9, r"\(\d\.\d\d\)"), (15, r"\d\.\d\d \[\d\.\d\d, \d\.\d\d\]")):
        run = read_run(
            replace(SMALL, tasks=(facts_task("recall", (10, 100), samples),)).write(tmp_path / shape[:2])
        )
        table = cost_table(run, cost_rows(run))
        place = table.header.index("time / full")
        base, *others = (str(cells[place]) for cells in table.rows)
        assert base == "1.00"
        assert all(re.fullmatch(shape, text) for text in others)


def test_the_row_over_all_tasks_pools_their_answers(small):
    run, _ = small
    rows = cost_rows(run)
    assert rows["oprm", "all"].n == sum(rows["oprm", task.name].n for task in run.tasks)
    assert rows["oprm", "all"].warm == 121
    assert rows["full", "all"].ratio.mean == 1.0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("timeout: no answer within 60 s (10 MiB)", "timeout: no answer within 60 s (10 MiB)"),
        ("example {}: 160 s, 0.1 MiB", "example ID: 160 s, 0.1 MiB"),
    ],
)
def test_an_error_is_one_line_whatever_the_ids_of_its_examples(tmp_path, error, expected):
    def edit(row: Row) -> Row:
        name = str(int(row["example"][-2:]))
        return row | {"example": name, "error": error.format(name), "score": 0.0}

    run = read_run(replace(ONE_TASK, edit=edit).write(tmp_path))
    errors = failure_table(run).notes[-1]
    assert errors == f"- 120 × `{expected}`"


def test_failed_and_undefined_answers_do_not_look_cheap(tmp_path):
    def edit(row: Row) -> Row:
        if row["method"] != "oprm" or row["example"][-1] != "3":
            return row
        return costing(row, seconds={"total": 1e-6}, prompt_tokens=1) | {"error": "OutOfMemory", "score": 0.0}

    row = cost_rows(read_run(replace(ONE_TASK, edit=edit).write(tmp_path)))["oprm", "recall"]
    assert (row.n, row.prompt_tokens, row.tally.failed) == (27, 1200, 3)
    assert row.ratio.low > 1


def test_retrieval_is_its_share_of_the_time_and_nothing_where_there_is_none(tmp_path):
    rows = cost_rows(read_run(ONE_TASK.write(tmp_path)))
    assert rows["rag:retriever=bm25", "recall"].retrieval_share == pytest.approx(0.2)
    assert rows["oprm", "recall"].retrieval_share is None


def test_a_calibration_is_a_cost_beside_the_seconds_of_a_question(tmp_path):
    def edit(row: Row) -> Row:
        if row["method"] != "oprm":
            return row
        found = {"3": "?", "7": 13.25}.get(row["example"][-1], 7.5)
        return row | {"details": {"calibration_seconds": found}}

    run = read_run(replace(ONE_TASK, edit=edit).write(tmp_path))
    rows = cost_rows(run)
    assert rows["oprm", "recall"].calibration == 13.25
    assert rows["full", "recall"].calibration is None
    table = cost_table(run, rows)
    place = table.header.index("calibration s")
    shown = {method.label: cells[place] for method, cells in zip(run.methods, table.rows, strict=True)}
    assert shown.pop("oprm") == "13.2"
    assert set(shown.values()) == {"–"}
    assert "Calibration is what" in table.notes[0]
    plain = read_run(ONE_TASK.write(tmp_path / "plain"))
    assert "calibration s" not in cost_table(plain, cost_rows(plain)).header


def test_what_a_ranker_reads_is_shown_where_there_is_any(tmp_path):
    def edit(row: Row) -> Row:
        if row["method"] != "rag:retriever=bm25":
            return row
        details = [{"judge_tokens": 900}, {"parts": [{"tie": True}, {"judge_tokens": 300}]}, {"parts": ["x"]}]
        return costing(row, encoder_tokens=50) | {"details": details[int(row["example"][-1]) % 3]}

    run = read_run(replace(ONE_TASK, edit=edit).write(tmp_path))
    rows = cost_rows(run)
    given = run.answers("rag:retriever=bm25", "recall")
    row = rows["rag:retriever=bm25", "recall"]
    expected = sum((900, 300, 0)[int(example[-1]) % 3] for example in given) / len(given)
    assert (row.encoder_tokens, row.judge_tokens) == (50, pytest.approx(expected))
    table = cost_table(run, rows)
    assert table.header[6:9] == ["prompt tokens", "encoder tokens", "judge tokens"]
    assert all(len(cells) == len(table.header) for cells in table.rows)
    assert "Judge tokens" in table.notes[0]
    plain = read_run(ONE_TASK.write(tmp_path / "plain"))
    assert "judge tokens" not in cost_table(plain, cost_rows(plain)).header


@pytest.mark.parametrize(("rate", "doubt"), [(0.9, ""), (0.6, ": too rarely, its order says little")])
def test_the_report_says_how_often_a_judges_two_orders_agree(tmp_path, rate, doubt):
    def edit(row: Row) -> Row:
        return row | {"details": {"consistency": rate} if row["method"] == "rag:retriever=bm25" else {}}

    run = read_run(replace(ONE_TASK, edit=edit).write(tmp_path))
    table = selection_table(run, selection_rows(run))
    assert table is not None
    (line,) = table.notes[1:]
    assert line == (
        "- the judge of `rag:retriever=bm25` names the same passage in both orders in "
        f"{100 * rate:.0f} % of the pairs{doubt}"
    )


def test_what_became_of_the_answers_is_counted_in_one_table_that_explains_every_word(small):
    run, _ = small
    counts = failure_table(run).header[2:]
    assert set(counts) == {"answered", "missing", "failed", "undefined", "empty", "truncated"}
    assert not set(counts) & set(cost_table(run, cost_rows(run)).header)
    assert all(f"{word.capitalize()}: " in failure_table(run).notes[0] for word in counts[1:])


def test_a_recall_without_an_interval_is_explained(tmp_path):
    run = read_run(replace(ONE_TASK, skill=lambda *_: 0.5).write(tmp_path))
    (row,) = [row for row in selection_rows(run) if row.method == "oprm"]
    half = mean_interval([0.5] * 30, range(30))
    for recall, said in ((row.recall, False), (half, True)):
        table = selection_table(run, [replace(row, recall=recall, inside=None, outside=row.recall)])
        assert table is not None
        assert ("(no interval)" in str(table.rows)) is (UNKNOWN in table.notes[0]) is said


def test_peak_memory_is_the_largest_and_tokens_are_means(tmp_path):
    def edit(row: Row) -> Row:
        digit = int(row["example"][-1])
        return costing(row, peak_bytes=100 * digit or None, new_tokens=digit)

    row = cost_rows(read_run(replace(ONE_TASK, edit=edit).write(tmp_path)))["full", "recall"]
    assert row.peak_bytes == 900
    assert row.new_tokens == 4.5


def test_a_run_with_cold_answers_only_has_no_latency(tmp_path):
    fake = replace(ONE_TASK, edit=lambda row: row | {"cold": True})
    row = cost_rows(read_run(fake.write(tmp_path)))["oprm", "recall"]
    assert (row.warm, row.median, row.p90, row.ratio) == (0, None, None, None)


def test_every_planned_answer_is_counted_once(tmp_path):
    def edit(row: Row) -> Row | None:
        number = int(row["example"][-2:])
        if row["method"] != "oprm" or number >= 8:
            return row
        changes: list[Row | None] = [None, None, None, {"error": "broken", "score": 0.0}]
        changes += [{"error": "undefined: no chunk", "score": 0.0}, {"empty": True}, {"truncated": True}, {}]
        change = changes[number]
        return None if change is None else row | change

    run = read_run(replace(ONE_TASK, edit=edit).write(tmp_path))
    expected = Tally(planned=30, answered=25, missing=3, failed=1, undefined=1, empty=1, truncated=1)
    assert tally(run, "oprm", "recall") == expected
    assert tally(run, "oprm", "all") == expected
    assert tally(run, "full", "all").missing == 0


def test_a_method_that_has_not_begun_misses_everything(tmp_path):
    tasks = (*ONE_TASK.tasks, facts_task("more", (10,), 4))
    fake = replace(ONE_TASK, tasks=tasks, edit=lambda row: None if row["method"] == "oprm" else row)
    run = read_run(fake.write(tmp_path))
    assert [tally(run, "oprm", task).missing for task in ("recall", "more", "all")] == [30, 4, 34]
    assert ("oprm", "all") not in cost_rows(run)


def test_an_imported_method_has_no_row_and_the_table_says_so(tmp_path):
    run = read_run(replace(ONE_TASK, imported=("oprm",)).write(tmp_path))
    costs = cost_rows(run)
    assert {method for method, _ in costs} == {"full", "rag:retriever=bm25", "closed_book"}
    table = cost_table(run, costs)
    assert "The answers of `oprm` were imported" in table.notes[0]
    assert not any("oprm" in row[0].text for row in table.rows)


def test_nothing_is_said_of_imports_where_there_are_none(small):
    run, _ = small
    assert "imported" not in cost_table(run, cost_rows(run)).notes[0]


def test_an_error_that_names_its_example_is_one_error(tmp_path):
    def edit(row: Row) -> Row:
        failed = row["method"] == "oprm" and row["bucket"] == "10"
        return row | {"error": f"ValueError: {row['example']} is odd", "score": 0.0} if failed else row

    run = read_run(replace(ONE_TASK, edit=edit).write(tmp_path))
    assert failure_table(run).notes[-1] == "- 15 × `ValueError: ID is odd`"
