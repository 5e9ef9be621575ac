"""Scores of another metric are made anew when a folder is extended, whoever wrote them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
from comparison_fakes import Last

from benchmarks import metrics
from comparison.records import read_records


@pytest.fixture
def change_metric(monkeypatch):
    """Lets `value` be another metric: half of what it was, under another version."""
    value = metrics.METRICS["value"]

    def change(score=lambda *given: value.score(*given) / 2):
        monkeypatch.setitem(metrics.METRICS, "value", metrics.Metric(score, "9"))

    return change


def scores(tmp_path):
    return Counter((row.metric, row.score, row.error) for row in read_records(tmp_path / "run"))


def test_an_extended_folder_is_scored_by_the_present_metric_alone(run, tmp_path, change_metric, capsys):
    run("Last", "Declared", "Seeing", shard="2/2", limit=4)
    run("Last", "Declared", "Seeing", limit=4)
    before = {(row.method, row.example): row for row in read_records(tmp_path / "run")}
    change_metric()
    Last.calls.clear()
    tally = run("Last", limit=6)  # the scores of Declared, which is not asked for now, are made anew too
    assert (tally.found, tally.answered, len(Last.calls)) == (4, 2, 2)
    out = capsys.readouterr().out
    assert f"8 answers in {tmp_path / 'run'} had been scored by another metric: scored again\n" in out
    undefined = "undefined: nothing in bucket b"
    assert scores(tmp_path) == {("value@9", 0.5, None): 10, ("value@1", 0.0, undefined): 2}
    after = {(row.method, row.example): row for row in read_records(tmp_path / "run")}
    seen = {place for place, row in before.items() if row.method.endswith("Seeing") and row.error is None}
    assert len(seen) == 2
    assert before.keys() - after.keys() == seen  # a method that saw how answers are scored is asked again
    for place in before.keys() - seen:
        row = before[place]
        assert replace(after[place], score=row.score, metric=row.metric) == row  # given as it was
    lines = {path: path.read_bytes() for path in (tmp_path / "run").glob("records/*/*/*.jsonl")}
    assert run("Last", limit=6).answered == 0
    assert all(path.read_bytes() == text for path, text in lines.items())


def test_scores_of_two_metrics_never_stand_beside_each_other(run, tmp_path, change_metric):
    run("Last")
    change_metric()
    run("Last")
    [path] = (tmp_path / "run").glob("records/*/*/*.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:8]))  # killed after the second of six
    assert scores(tmp_path) == {("value@9", 0.5, None): 2}
    run("Last")
    assert scores(tmp_path) == {("value@9", 0.5, None): 6}
    assert path.read_text() == "".join(lines)


def test_a_metric_that_fails_on_an_old_answer_is_tried_again(run, tmp_path, change_metric):
    def broken(prediction, *key):
        if prediction == "word1":
            raise RuntimeError("broken")
        return 0.5

    run("Last", limit=4)
    change_metric(broken)
    run("Last", limit=4)
    [(score, failed)] = [(score, error) for _, score, error in scores(tmp_path) if error]
    assert score == 0.0
    assert failed.startswith("while scoring: RuntimeError: broken")
    change_metric()
    assert run("Last", limit=4).answered == 0
    assert scores(tmp_path) == {("value@9", 0.5, None): 4}


@pytest.mark.parametrize("given", [-0.01, 1.01, math.nan, math.inf])
def test_a_score_that_is_not_0_to_1_makes_its_answer_a_failure(run, tmp_path, change_metric, given):
    change_metric(lambda *_: given)
    run("Last", limit=1)
    [row] = read_records(tmp_path / "run")
    assert (row.score, row.failed) == (0.0, True)
    assert f"the metric gave {given}, expected 0 to 1" in row.error


def test_a_control_that_chooses_by_the_metric_is_asked_again_and_no_other_method(
    run, tmp_path, change_metric, capsys
):
    run("Last", "Best", limit=4)
    change_metric(lambda prediction, *key: float(prediction == "three"))
    shard = run("Last", "Best", limit=4, shard="1/2")
    assert (shard.found, shard.answered, shard.left) == (2, 2, 2)
    tally = run("Last", "Best", limit=4)
    assert (tally.found, tally.answered) == (6, 2)
    assert "2 answers in " in capsys.readouterr().out.split("report")[-1]
    found = {(row.method, row.prediction, row.score) for row in read_records(tmp_path / "run")}
    best, last = "comparison_fakes:Best", "comparison_fakes:Last"
    assert found == {(best, "three", 1.0)} | {(last, f"word{place}", 0.0) for place in range(4)}


def test_answers_of_older_code_are_given_again_and_not_scored_again(
    run, tmp_path, change_metric, monkeypatch, capsys
):
    run("Last")
    change_metric()
    monkeypatch.setattr("comparison.provenance.method_version", lambda *behind: "new")
    assert run("Last").answered == 6
    assert "scored again" not in capsys.readouterr().out
    assert scores(tmp_path) == {("value@9", 0.5, None): 6}
