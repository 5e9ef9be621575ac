"""The loop: what is asked, what is recorded, what is done again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from comparison_fakes import FakeEngine, Last, Sometimes

from comparison import locks, records
from comparison.answering import prepare
from comparison.plan import PlanError, make_plan, resolve
from comparison.records import read_records
from comparison.run import RunStopped
from comparison.run import run as open_and_run


def rows(tmp_path, method):
    found = read_records(tmp_path / "run")
    return [row for row in found if row.method.startswith(f"comparison_fakes:{method}")]


def test_every_answer_is_recorded_with_its_score_and_cost(run, tmp_path):
    tally = run("Last", "Last:wrong=true")
    assert (tally.answered, tally.found, tally.failed) == (12, 0, 0)
    right, wrong = rows(tmp_path, "Last")[:6], rows(tmp_path, "Last:wrong")
    assert {row.score for row in right} == {1.0}
    assert {row.score for row in wrong} == {0.0}
    one = next(row for row in right if row.example == "words-3")
    assert one.prediction == "word3"
    assert one.answers == ("word3",)
    assert (one.bucket, one.length, one.metric) == ("b", 5, "value@1")
    assert one.cost["prompt_tokens"] == 5
    assert one.cost["seconds"]["total"] > 0
    assert (one.control, one.truncated, one.empty, one.spans) == (False, False, False, None)


def test_an_engine_of_another_reader_than_the_plan_s_is_refused(run, tmp_path):
    engine = FakeEngine()
    engine.spec = replace(engine.spec, name="mine")
    with pytest.raises(
        PlanError, match=r"^the engine reads with mine, and the plan is of fake/reader: [^\n]*$"
    ):
        run("Last", engine=engine)
    assert not (tmp_path / "run").exists()


def test_the_first_answer_of_a_method_and_task_is_cold(run, tmp_path):
    run("Last", "Seeing", limit=4)
    assert [row.cold for row in rows(tmp_path, "Last")] == [True, False, False, False]
    run("Last", limit=6)
    assert sum(row.cold for row in rows(tmp_path, "Last")) == 2


def test_a_finished_run_asks_nothing_again(run):
    run("Last")
    Last.calls.clear()
    tally = run("Last")
    assert (tally.answered, tally.found) == (0, 6)
    assert Last.calls == []


def test_a_run_goes_on_where_it_stopped(run, tmp_path):
    run("Last")
    path = next((tmp_path / "run" / "records").glob("*/*/words.serial.jsonl"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]) + lines[3][:20])
    Last.calls.clear()
    assert run("Last").answered == 3
    assert len(Last.calls) == 3
    written = [row.example for row in records.read_file(path)]
    assert sorted(written) == [f"words-{number}" for number in range(6)]


def test_a_log_is_told_of_every_finished_part_and_of_a_long_silence(run, capsys, monkeypatch):
    run("Last")
    assert capsys.readouterr().out.splitlines() == ["words, comparison_fakes:Last: 6 answers"]
    monkeypatch.setattr("comparison.run.SILENCE", 0)
    run("Last", "Seeing")
    told = [f"{n} of all 6 so far" for n in range(1, 6)]
    assert [line.split(": ")[1] for line in capsys.readouterr().out.splitlines()] == [*told, "6 answers"]


def test_what_another_writer_has_recorded_is_not_done_again(run, tmp_path):
    run("Last")
    path = next((tmp_path / "run" / "records").glob("*/*/words.serial.jsonl"))
    path.rename(path.with_name("words.shard-1-of-2.jsonl"))
    assert run("Last").answered == 0


def test_a_method_is_told_only_what_its_signature_takes(run, tmp_path):
    run("Says:what=task", "Seeing")
    assert rows(tmp_path, "Says")[0].prediction == "['task']"
    assert rows(tmp_path, "Seeing")[0].details == {"task": "words"}
    assert rows(tmp_path, "Seeing")[0].spans == ((0, 3),)


def test_a_method_that_sees_the_key_or_says_so_is_a_control():
    controls = [
        prepare(resolve("method", f"comparison_fakes:{name}"), FakeEngine()).traits.control
        for name in ("Last", "Seeing", "Declared", "Says")
    ]
    assert controls == [False, True, True, False]


def test_a_factory_that_makes_no_method_is_refused():
    with pytest.raises(PlanError, match=r"count_words: the factory made int 1, expected a method: answer"):
        prepare(resolve("method", "comparison_fakes:count_words"), "one-word")


def test_an_undefined_answer_is_recorded_and_not_tried_again(run, tmp_path):
    tally = run("Last", "Seeing")
    assert (tally.undefined, tally.failed) == (3, 0)
    undefined = [row for row in rows(tmp_path, "Seeing") if row.bucket == "b"]
    assert {row.error for row in undefined} == {"undefined: nothing in bucket b"}
    assert {row.score for row in undefined} == {0.0}
    assert run("Last", "Seeing").answered == 0


def test_a_failure_is_recorded_in_one_line_and_tried_again(run, tmp_path):
    tally = run("Sometimes")
    assert (tally.answered, tally.failed) == (6, 1)
    [failed] = [row for row in rows(tmp_path, "Sometimes") if row.failed]
    assert failed.example == "words-3"
    assert failed.error
    assert failed.error.startswith("RuntimeError: broken (comparison_fakes.py:")
    assert failed.score == 0.0
    Sometimes.broken = False
    tally = run("Sometimes")
    assert (tally.answered, tally.found, tally.failed) == (1, 5, 0)
    assert [row.failed for row in rows(tmp_path, "Sometimes")] == [False] * 6


def test_five_failures_in_a_row_stop_the_run(run, tmp_path):
    with pytest.raises(RunStopped, match=r"5 answers in a row failed.*Says.*words-4.*RuntimeError") as stop:
        run("Says")
    assert "\n" not in str(stop.value)
    assert len(rows(tmp_path, "Says")) == 5


def test_an_answer_between_failures_starts_the_count_again(run):
    tally = run("Mostly", benchmark="comparison_fakes:words:n=10")
    assert (tally.answered, tally.failed) == (10, 8)


@pytest.mark.parametrize(
    ("what", "part"),
    [
        ("number", "returned int 42, expected Answer or str"),
        ("number_in_answer", "text is int 42, expected str"),
        ("spans_outside", "not inside the context"),
        ("details", "do not serialise"),
        ("nan", "do not serialise"),
    ],
)
def test_what_is_no_answer_is_an_error_that_says_what_came_back(run, tmp_path, what, part):
    run(f"Says:what={what}", limit=1)
    [row] = rows(tmp_path, "Says")
    assert part in row.error
    assert row.prediction == ""


def test_a_method_that_calls_exit_has_failed_as_any_other(run, tmp_path):
    tally = run("Says:what=exit", limit=2)
    assert (tally.answered, tally.failed) == (2, 2)
    assert rows(tmp_path, "Says")[0].error.startswith("SystemExit: no licence (comparison_fakes.py:")


def test_an_empty_answer_is_marked_and_odd_characters_are_kept(run, tmp_path):
    run("Says:what=empty", "Says:what=surrogate", limit=1)
    one, other = rows(tmp_path, "Says")
    assert (one.empty, one.prediction, one.score) == (True, "  ", 0.0)
    assert (other.empty, other.prediction) == (False, "\udc80")


def test_a_score_outside_of_0_to_1_is_an_error(run, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.base.Task.score", lambda task, prediction, example: 7)
    run("Last", limit=1)
    [row] = rows(tmp_path, "Last")
    assert row.error.startswith("while scoring: ValueError: the metric gave 7.0")
    assert row.score == 0.0


def test_the_key_depends_on_what_can_change_the_answer_alone(run, tmp_path):
    def keys(out, **settings):
        run("Last", "Seeing", out=tmp_path / out, **settings)
        return {(row.method, row.example): row.key for row in read_records(tmp_path / out)}

    plain = keys("plain")
    assert len(set(plain.values())) == 12
    limited = keys("limited", limit=3)
    assert limited.items() <= plain.items()
    assert not set(keys("seed", seed=1).values()) & set(plain.values())
    assert not set(keys("kernel", engine=FakeEngine(kernel="cuda")).values()) & set(plain.values())
    revised = keys("revision", benchmark="comparison_fakes:words:revision=2")
    assert not set(revised.values()) & set(plain.values())


def test_the_answer_key_is_in_the_keys_of_those_who_see_it_alone(run, tmp_path):
    def keys(out, benchmark):
        run("Last", "Seeing", out=tmp_path / out, benchmark=benchmark)
        return {(row.method, row.example): row.key for row in read_records(tmp_path / out)}

    one = keys("one", "comparison_fakes:words")
    other = keys("other", "comparison_fakes:words:also=x")
    same = {method for (method, example), key in one.items() if other[method, example] == key}
    assert same == {"comparison_fakes:Last"}


def test_a_key_has_the_options_in_it_and_not_the_label(run, tmp_path):
    run("Last", "Last:wrong=true")
    plain, wrong = [{row.key for row in rows(tmp_path, name)} for name in ("Last", "Last:wrong")]
    assert (len(plain), len(wrong)) == (12, 6)
    label = "comparison_fakes:Last"
    run("Last", method=[label, f"again={label}"], baseline=label, out=tmp_path / "labels")
    assert {row.key for row in read_records(tmp_path / "labels")} == plain - wrong


def test_new_code_of_a_method_is_asked_again(run, tmp_path, monkeypatch, capsys):
    run("Last", "Sometimes", limit=2)
    monkeypatch.setattr(
        "comparison.provenance.method_version", lambda factory, *behind: f"new {factory.__name__}"
    )
    capsys.readouterr()
    tally = run("Last", "Sometimes", limit=2)
    assert (tally.answered, tally.found) == (4, 0)
    assert {row.version for row in rows(tmp_path, "Last")} == {"new Last"}
    assert len(rows(tmp_path, "Last")) == 2
    said = capsys.readouterr().out
    assert said.startswith(
        f"4 answers in {tmp_path / 'run'} are of code, predictions or a metric changed since: given again\n"
    )


def test_another_revision_of_a_methods_own_weights_is_asked_again(run, tmp_path, monkeypatch):
    from comparison_fakes import Last

    for revision, answered in (("1", 2), ("1", 0), ("2", 2)):
        monkeypatch.setattr(Last, "weights", {"some/encoder": revision}, raising=False)
        assert run("Last", limit=2).answered == answered
    assert len(rows(tmp_path, "Last")) == 2


def test_a_held_folder_is_refused_before_anything_is_asked(run, tmp_path):
    (tmp_path / "run").mkdir()
    with (
        locks.writer_lock(tmp_path / "run", "serial"),
        pytest.raises(records.RecordError, match="being written by pid"),
    ):
        run("Last")
    assert Last.calls == []
    assert not (tmp_path / "run" / "run.json").exists()


def test_progress_is_one_line_a_group_where_no_one_watches(run, capsys):
    run("Last", "Seeing")
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "words, comparison_fakes:Last: 6 answers",
        "words, comparison_fakes:Seeing: 6 answers",
    ]
    assert err == ""


def test_a_run_folder_that_is_a_file_is_refused(run, tmp_path):
    Path(tmp_path / "run").write_text("")
    with pytest.raises(records.RecordError, match="cannot write"):
        run("Last")


@pytest.mark.parametrize("asked", [None, "v1.0"])
def test_the_reader_is_opened_as_the_plan_says(asked, tmp_path, monkeypatch):
    from models.engine import Engine

    opened = []

    def open_reader(name, **options):
        opened.append((name, options))
        raise ValueError("opened")

    monkeypatch.setattr(Engine, "load", open_reader)
    named = {"model": "mamba-130m", "revision": asked, "out": str(tmp_path / "out")}
    named |= {"device": "cuda", "dtype": "float16", "trust-remote-code": True}
    with pytest.raises(ValueError, match="opened"):
        open_and_run(make_plan(named), (), "command")
    revision = asked or "1e76775f628fbf1350fbe4dbb3d971ba64af25a1"
    said = {"revision": revision, "device": "cuda", "dtype": "float16", "trust_remote_code": True}
    assert opened == [("mamba-130m", said)]
