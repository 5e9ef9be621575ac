"""Selection and reading: what counts as picked, cut and missed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fake_run import SMALL, Row, facts_task

from reports.collect import read_run
from reports.selection import coverage, merge, selection_rows

ONE_TASK = replace(SMALL, tasks=(facts_task("recall", (10, 100), 15),))


@pytest.mark.parametrize(
    ("evidence", "picked", "expected"),
    [
        ([(10, 20)], [(0, 100)], (1.0, 0.0)),
        ([(10, 20)], [(10, 20)], (1.0, 0.0)),
        ([(10, 20)], [(0, 15)], (0.0, 1.0)),
        ([(10, 20)], [(0, 10), (20, 30)], (0.0, 0.0)),
        ([(10, 20)], [(15, 30), (0, 15)], (1.0, 0.0)),
        ([(10, 20)], [(0, 16), (12, 30)], (1.0, 0.0)),
        ([(10, 20)], [(0, 14), (16, 30)], (0.0, 1.0)),
        ([(0, 5), (50, 60), (95, 105)], [(0, 100)], (2 / 3, 1 / 3)),
        ([(10, 20)], [], (0.0, 0.0)),
    ],
)
def test_evidence_is_picked_only_if_it_lies_wholly_inside_the_union(evidence, picked, expected):
    assert coverage(evidence, picked) == pytest.approx(expected)


def test_spans_that_touch_or_overlap_become_one():
    assert merge([(20, 30), (0, 10), (10, 15), (25, 26)]) == [(0, 15), (20, 30)]


def test_scores_are_split_by_whether_all_the_evidence_was_picked(tmp_path):
    run = read_run(replace(ONE_TASK, skill=lambda *_: 0.5).write(tmp_path))
    (row,) = [row for row in selection_rows(run) if row.method == "oprm"]
    inside, outside = [], []
    for example, record in run.answers("oprm", "recall").items():
        (gold,) = run.examples["recall"][example].evidence
        whole = any(start <= gold[0] and gold[1] <= end for start, end in record.spans)
        (inside if whole else outside).append(record.score)
    assert (row.recall.n, row.inside.n, row.outside.n) == (30, len(inside), len(outside))
    assert row.complete.mean == pytest.approx(len(inside) / 30)
    assert (row.inside.mean, row.outside.mean) == pytest.approx((np.mean(inside), np.mean(outside)))


def test_methods_that_read_everything_and_tasks_without_evidence_have_no_row(small):
    places = {(row.method, row.task) for row in selection_rows(small[0])}
    assert places == {
        (method, task) for method in ("oprm", "rag:retriever=bm25") for task in ("recall", "needle")
    }


def test_a_method_that_picked_nothing_has_missed_everything(tmp_path):
    fake = replace(ONE_TASK, edit=lambda row: row | {"spans": [] if row["method"] == "full" else None})
    (row,) = selection_rows(read_run(fake.write(tmp_path)))
    assert (row.method, row.recall.mean, row.cut, row.inside) == ("full", 0.0, 0.0, None)
    assert row.outside.n == 30


def test_failed_answers_say_nothing_about_selection(tmp_path):
    def edit(row: Row) -> Row:
        return row | {"error": "broken", "score": 0.0} if row["example"][-1] == "0" else row

    rows = selection_rows(read_run(replace(ONE_TASK, edit=edit).write(tmp_path)))
    assert {row.recall.n for row in rows} == {27}


@pytest.mark.parametrize(("cluster", "clusters"), [("the only document", 1), ("", 30)])
def test_what_was_picked_is_clustered_by_the_documents_and_an_answer_of_none_stands_alone(
    tmp_path, cluster, clusters
):
    run = read_run(replace(ONE_TASK, edit=lambda row: row | {"cluster": cluster}).write(tmp_path))
    (row,) = [row for row in selection_rows(run) if row.method == "oprm"]
    assert (row.recall.n, row.recall.clusters, row.complete.clusters) == (30, clusters, clusters)
