"""The dry run's forecast: what can be shown and what would be read, counted by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from comparison_fakes import count_words

import methods
from benchmarks.base import Example, Task, TaskSet
from comparison import grid
from comparison.forecast import forecast
from comparison.plan import make_plan

LABELS = [
    "full",
    "oprm:chunk_size=40",
    "oprm:chunk_size=40,candidates=bm25,m=2",
    "truncate:budget=10",
    "rag:chunk_size=10,retriever=query_likelihood",
    "comparison_fakes:Last",
]


def lines_for(monkeypatch, number, overlap=0):
    """The forecast over `number` examples of 100 words each, two a document, behind a wording of six, for a
    reader whose chunks overlap by so many words."""
    pool = [
        Example(
            f"e{one}", "w " * 100, "Which one?", ("a",), length=7, bucket="", cluster=f"document {one // 2}"
        )
        for one in range(number)
    ]
    task = Task("t", "Read this: ", "\n{question} Answer:", "value", 8)
    monkeypatch.setattr("comparison_fakes.words", lambda count_tokens: [TaskSet(task, pool)])
    plan = make_plan({"model": "fake/reader", "method": LABELS, "benchmark": ["comparison_fakes:words"]})
    plan = replace(plan, reader=replace(plan.reader, overlap=overlap))
    return forecast(plan, grid.load_tasks(plan, count_words), count_words).splitlines()


def test_a_forecast_has_a_line_a_task_and_a_line_a_method(monkeypatch):
    shows, *reads = lines_for(monkeypatch, 4)
    assert shows == "can show t: no difference, there are too few questions"
    few, *_ = lines_for(monkeypatch, 80)
    assert few.startswith("can show t: ")
    assert few.endswith("points (80 % power at a paired sd of 0.5)")
    assert [line.split(maxsplit=2)[2] for line in reads] == [
        "about 420 prompt tokens in 4 calls",  # 4 (100 + 5)
        "about 460 prompt tokens in 8 calls",  # 4 (100 + 3 x 5), two calls each: two rows of 40, one of 20
        "about 360 prompt tokens in 8 calls",  # 4 (2 x 40 + 2 x 5): bm25 leaves two of the rows
        "about 60 prompt tokens in 4 calls",  # 4 (10 + 5)
        "about 60 prompt tokens in 4 calls, without what its ranker reads",
        "not known in advance",
    ]


def test_the_readers_overlap_counts_where_a_method_gives_none(monkeypatch):
    oprm = lines_for(monkeypatch, 4, overlap=10)[2]
    assert oprm.endswith("about 540 prompt tokens in 8 calls")  # 4 (100 + 2 x 10 + 3 x 5)


def test_many_examples_are_counted_on_a_sample_and_scaled(monkeypatch):
    full, *_, last = lines_for(monkeypatch, 103)[1:]
    assert full.endswith("about 10,815 prompt tokens in 103 calls")
    assert last.endswith("(lengths: 10 examples a task)")


def test_questions_of_one_document_show_less(monkeypatch):
    points = float(lines_for(monkeypatch, 40)[0].split()[3])
    # 0.5 (1.96 + 0.84) sqrt(1.3 / 40), with t quantiles at 19 degrees of freedom a little more
    assert points == pytest.approx(25.5, abs=1.5)


def test_every_built_in_method_has_a_forecast_but_the_one_whose_notes_are_not_written_yet():
    asked = {
        "model": "fake/reader",
        "method": list(methods.BUILT_IN),
        "benchmark": ["comparison_fakes:words"],
    }
    plan = make_plan(asked)
    _, *reads = forecast(plan, grid.load_tasks(plan, count_words), count_words).splitlines()
    said = {line.split(maxsplit=2)[1]: line.split(maxsplit=2)[2] for line in reads}
    assert [name for name, line in said.items() if line == "not known in advance"] == ["iterative_summary"]
    like_full = {name for name, line in said.items() if line == said["full"]}
    assert like_full >= {"decimamba", "longmamba", "upi", "delta_scale", "yarn"}
    assert "closed_book" not in like_full


def test_of_many_contexts_ten_at_most_are_counted(monkeypatch):
    counted = []
    monkeypatch.setitem(globals(), "count_words", lambda text: counted.append(text) or len(text.split()))
    lines_for(monkeypatch, 25)
    assert 5 <= sum(text.startswith("w w") for text in counted) <= 10
