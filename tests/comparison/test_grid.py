"""The grid: which examples are taken, how tasks are named, what bad data are refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from comparison_fakes import count_words
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.base import Example, Outline, Task, TaskSet
from comparison import grid
from comparison.plan import PlanError, make_plan
from models.specs import ReaderError, reader_spec

STEADY = settings(derandomize=True, deadline=None)
BUCKETS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=40)


def examples(buckets):
    return [Example(f"e{number}", "text", "q", ("a",), 1, bucket) for number, bucket in enumerate(buckets)]


def take(pool, limit):
    return [pool[place] for place in grid.take_evenly(pool, limit)]


def load(*benchmarks, **settings):
    plan = make_plan({"model": "fake/reader", "benchmark": [f"{one}" for one in benchmarks]} | settings)
    return plan, grid.load_tasks(plan, count_words)


@STEADY
@given(BUCKETS, st.integers(1, 50), st.integers(1, 50))
def test_a_larger_limit_is_a_superset(buckets, one, other):
    pool = examples(buckets)
    few, many = take(pool, min(one, other)), take(pool, max(one, other))
    assert {example.id for example in few} <= {example.id for example in many}
    assert len(few) == min(one, other, len(pool))


@STEADY
@given(BUCKETS, st.integers(1, 50))
def test_a_limit_is_shared_evenly_by_the_buckets(buckets, limit):
    taken = Counter(example.bucket for example in take(examples(buckets), limit))
    for bucket, there in Counter(buckets).items():
        # a bucket has as many as any other, give or take one, unless it is used up
        assert taken[bucket] == there or taken[bucket] >= max(taken.values()) - 1


@STEADY
@given(BUCKETS, st.integers(1, 50), st.randoms(use_true_random=False))
def test_the_choice_does_not_depend_on_the_order_of_the_data(buckets, limit, random):
    pool = examples(buckets)
    mixed = random.sample(pool, len(pool))
    chosen = {example.id for example in take(pool, limit)}
    assert {example.id for example in take(mixed, limit)} == chosen


def test_what_a_limit_takes_is_in_the_order_of_the_benchmark():
    places = grid.take_evenly(examples("aaabbb"), 5)
    assert places == sorted(places)


def test_no_limit_takes_everything_in_order():
    pool = examples("abba")
    assert take(pool, None) == pool


def test_the_grid_is_described_with_counts_by_bucket():
    plan, tasks = load("comparison_fakes:words:n=5", method=["full", "rag"], limit=4)
    text = grid.describe(plan, tasks)
    assert "methods  full (baseline), rag" in text
    assert "words  4 of 5 examples (a: 2, b: 2)" in text
    assert "2 methods x 1 tasks: 8 answers" in text


def test_the_seed_and_the_data_folder_reach_the_benchmark(tmp_path):
    _, tasks = load("comparison_fakes:words", seed=7, **{"data-dir": str(tmp_path)})
    assert tasks[0].examples[0].context.startswith(f"7 {tmp_path} one")


def test_what_is_to_be_said_of_the_data_is_in_the_plan_once(monkeypatch):
    def words(count_tokens):
        for number in (1, 2):
            yield TaskSet(
                Task(f"t{number}", "", "{question}", "value", 8), examples(["a"]), note="from there"
            )

    monkeypatch.setattr("comparison_fakes.words", words)
    plan, tasks = load("comparison_fakes:words")
    assert grid.describe(plan, tasks).splitlines().count("note     from there") == 1


def test_an_option_of_the_spec_wins_over_the_seed_flag():
    _, tasks = load("comparison_fakes:words:seed=3", seed=7)
    assert tasks[0].examples[0].context.startswith("3 ")


def test_a_labelled_benchmark_puts_its_label_before_its_tasks():
    _, tasks = load("comparison_fakes:words", "more=comparison_fakes:words:n=9")
    assert [task.task.name for task in tasks] == ["words", "more-words"]


def test_two_tasks_of_one_name_are_refused():
    with pytest.raises(PlanError, match=r"2 tasks are called 'words'.*LABEL=SPEC"):
        load("comparison_fakes:words", "comparison_fakes:words:n=9")


def test_names_that_reports_have_for_sums_are_refused_before_anything_is_answered(monkeypatch):
    def load_as(name, bucket, spec="comparison_fakes:words"):
        task_set = TaskSet(Task(name, "", "{question}", "value", 8), examples(bucket))
        monkeypatch.setattr("comparison_fakes.words", lambda count_tokens: [task_set])
        return load(spec)[1][0].task.name

    for name in ("macro", "all"):
        with pytest.raises(PlanError, match=rf"a task is called '{name}'.*LABEL=SPEC"):
            load_as(name, "a")
    with pytest.raises(PlanError, match="task words has a bucket called 'all'"):
        load_as("words", ["a", "all"])
    assert load_as("macro", ["a", "All"], "mine=comparison_fakes:words") == "mine-macro"


def test_a_benchmark_that_makes_anything_but_task_sets_is_an_error_that_says_so(monkeypatch):
    monkeypatch.setattr("comparison_fakes.words", lambda count_tokens: [{"task": "words"}])
    with pytest.raises(
        PlanError, match=r"comparison_fakes:words made a dict: expected benchmarks.base.TaskSet"
    ):
        load("comparison_fakes:words")


def test_benchmarks_without_a_task_are_refused(monkeypatch):
    monkeypatch.setattr("comparison_fakes.words", lambda count_tokens: [])
    with pytest.raises(PlanError, match="the benchmarks hold no task"):
        load("comparison_fakes:words")


def test_of_many_rows_that_were_left_out_the_first_three_are_shown(monkeypatch):
    def described(count):
        rows = [f"f:{number}: bad" for number in range(1, count + 1)]
        task_set = TaskSet(Task("t", "", "{question}", "value", 8), examples("a"), left_out=rows)
        monkeypatch.setattr("comparison_fakes.words", lambda count_tokens: [task_set])
        return [line.strip() for line in grid.describe(*load("comparison_fakes:words")).splitlines()[3:-1]]

    shown = ["f:1: bad", "f:2: bad", "f:3: bad"]
    assert described(3) == ["3 rows left out:", *shown]
    assert described(5) == ["5 rows left out:", *shown, "... and 2 more"]


@pytest.mark.parametrize(
    ("bad", "part"),
    [
        ("empty", "task words has no examples"),
        ("ids", "2 examples of the id 'words-0'"),
        ("context", "example words-1 has an empty context"),
        ("question", "example words-1 has no question"),
    ],
)
def test_examples_that_nothing_can_answer_are_refused(bad, part):
    with pytest.raises(PlanError, match=part):
        load(f"comparison_fakes:words:bad={bad}")


def test_evidence_that_is_empty_or_outside_of_its_context_is_refused():
    _, tasks = load("comparison_fakes:words")
    sound = Example("e", "text", "q", ("a",), 1, "b", evidence=((0, 4),))
    grid.check_example(tasks[0].task, sound)
    for stray in ((2, 9), (-1, 2), (2, 2), (3, 2)):
        with pytest.raises(PlanError, match="evidence outside"):
            grid.check_example(tasks[0].task, replace(sound, evidence=(stray,)))


def test_an_answer_that_is_the_no_answer_word_is_refused():
    task = load("comparison_fakes:words")[1][0].task
    good, bad = (Example(f"e{word}", "text", "q", (word,), 1, "a") for word in ("Paris", "ERROR"))
    grid.check_no_answer(task, good, "Error")
    with pytest.raises(PlanError, match="eERROR has the answer 'Error', this reader's no-answer word"):
        grid.check_no_answer(task, bad, "Error")


class OnDisk:
    """Examples that are read one by one; counts how often each was."""

    def __init__(self, pool):
        self.pool, self.read = pool, []
        self.outlines = [Outline(one.id, one.bucket, one.answers) for one in pool]

    def __len__(self):
        return len(self.pool)

    def __getitem__(self, place):
        self.read.append(place)
        return self.pool[place]


def test_of_examples_on_disk_only_the_chosen_are_read_and_none_is_kept(monkeypatch):
    pool = OnDisk(examples("aabb"))
    task = Task("t", "", "{question}", "value", 8)
    monkeypatch.setattr(
        "comparison_fakes.words", lambda count_tokens: [TaskSet(task, pool, left_out=["f:1: bad"])]
    )
    plan, [planned] = load("comparison_fakes:words", limit=2)
    chosen = set(pool.read)
    assert len(chosen) == 2
    before = len(pool.read)
    assert [one.bucket for one in planned.examples] == ["a", "b"]
    assert len(pool.read) == before + 2
    assert "2 of 4 examples (a: 1, b: 1)" in grid.describe(plan, [planned])
    assert "1 rows left out:\n         f:1: bad" in grid.describe(plan, [planned])


def test_examples_whose_document_is_known_are_not_read_for_the_plan(monkeypatch):
    pool = OnDisk(examples("aabb"))
    pool.outlines = [one._replace(document=f"d{place // 3}") for place, one in enumerate(pool.outlines)]
    task = Task("t", "", "{question}", "value", 8)
    monkeypatch.setattr("comparison_fakes.words", lambda count_tokens: [TaskSet(task, pool)])
    _, [planned] = load("comparison_fakes:words")
    assert set(pool.read) == {0}  # the first is scored, to try the metric
    assert planned.clusters == 2


def test_the_documents_of_examples_are_counted_where_their_outlines_name_none(monkeypatch):
    pool = OnDisk([replace(one, cluster=f"d{place // 3}") for place, one in enumerate(examples("aabb"))])
    task = Task("t", "", "{question}", "value", 8)
    monkeypatch.setattr("comparison_fakes.words", lambda count_tokens: [TaskSet(task, pool)])
    assert load("comparison_fakes:words")[1][0].clusters == 2
    assert [pool.read.count(place) for place in (1, 2, 3)] == [1, 1, 1]  # the first is scored besides


def test_the_no_answer_word_is_an_answer_of_absent_tasks_only_also_of_examples_that_are_not_read(monkeypatch):
    pool = OnDisk(examples("aa"))
    pool.outlines = [Outline(one.id, one.bucket, ("error",), "d") for one in pool.outlines]
    task = Task("t", "", "{question}", "value", 8)

    def load_as(*, confirmatory):
        task_set = TaskSet(task, pool, confirmatory=confirmatory)
        monkeypatch.setattr("comparison_fakes.words", lambda count_tokens: [task_set])
        return load("comparison_fakes:words")[1]

    with pytest.raises(PlanError, match="no-answer word"):
        load_as(confirmatory=True)
    assert len(load_as(confirmatory=False)[0].examples) == 2


def test_a_metric_that_cannot_be_computed_here_fails_before_a_model_is_loaded(monkeypatch):
    def without_package(task, prediction, example):
        raise ValueError("words are cut with jieba, which is not installed")

    monkeypatch.setattr(Task, "score", without_package)
    with pytest.raises(ValueError, match="jieba"):
        load("comparison_fakes:words")


def test_a_dry_run_counts_by_the_file_of_a_tokenizer_as_the_run_does(tmp_path, monkeypatch, capsys):
    reader = reader_spec("tiny")
    texts = ("The office of Alden is in Paris.", "Zzyzx, 42? <s> \u00e9", "", " two  blanks\n")
    expected = [grid.token_counter(reader)(text) for text in texts]

    def not_asked(*anything):
        raise ReaderError("a dry run needs no transformers")

    monkeypatch.setattr(grid, "token_counter", not_asked)
    assert [grid.estimate_or_count(reader)(text) for text in texts] == expected
    assert capsys.readouterr().err == ""
    (tmp_path / "tokenizer.json").write_text("{torn")
    assert grid.estimate_or_count(replace(reader, path=str(tmp_path)))("12345") == 2
    assert "4 characters a token" in capsys.readouterr().err


def test_a_dry_run_without_the_tokenizer_estimates_and_says_so(capsys, monkeypatch):
    monkeypatch.setattr(grid, "_is_cached", lambda reader: False)
    count = grid.estimate_or_count(reader_spec("fake/reader"))
    assert [count("x" * characters) for characters in (0, 4, 5)] == [0, 1, 2]
    assert "4 characters a token" in capsys.readouterr().err
