"""Reading a run folder: which record counts, what is left out, and what is refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from fake_run import SMALL, FakeRun, Row, change_plan, facts_task

from comparison.records import record_path
from reports.collect import ReportError, bucket_order, read_run

TINY = replace(SMALL, methods=SMALL.methods[:2], tasks=(facts_task("recall", (10, 100), 3),))


def oprm_file(folder: Path, writer: str = "serial") -> Path:
    return record_path(folder, "tiny", "oprm", "recall", writer)


def lines_of(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def append(path: Path, *rows: Row) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def failing(error: str) -> FakeRun:
    """Every other answer of oprm goes wrong."""

    def edit(row: Row) -> Row:
        wrong = row["method"] == "oprm" and int(row["example"][-1]) % 2 == 0
        return row | {"error": error, "score": 0.0, "spans": None} if wrong else row

    return replace(TINY, edit=edit)


def test_the_last_record_of_an_example_counts(tmp_path):
    path = oprm_file(TINY.write(tmp_path))
    append(path, lines_of(path)[1] | {"score": 0.125})
    assert read_run(tmp_path).columns["oprm", "recall"].scores[1] == 0.125


def test_an_error_after_an_answer_does_not_replace_it(tmp_path):
    path = oprm_file(TINY.write(tmp_path))
    append(path, lines_of(path)[0] | {"score": 0.0, "error": "out of memory"})
    assert read_run(tmp_path).answers("oprm", "recall")["recall-0000"].error is None


def test_an_answer_from_another_writer_replaces_an_error(tmp_path):
    failing("ValueError: no").write(tmp_path)
    answered = lines_of(oprm_file(tmp_path))[0] | {"score": 1.0, "error": None}
    append(oprm_file(tmp_path, "shard-2-of-2"), answered)
    run = read_run(tmp_path)
    assert run.answers("oprm", "recall")["recall-0000"].score == 1.0
    assert run.answers("oprm", "recall")["recall-0002"].failed


def test_failed_answers_score_zero_and_undefined_ones_are_left_out(tmp_path):
    failed = read_run(failing("ValueError: no").write(tmp_path / "failed")).columns["oprm", "recall"]
    assert list(failed.scores[::2]) == [0.0, 0.0, 0.0]
    undefined = read_run(failing("undefined: no evidence").write(tmp_path / "undefined"))
    assert undefined.columns["oprm", "recall"].ids == ("recall-0001", "recall-0003", "recall-0005")


def test_a_torn_last_line_is_dropped_with_a_note(tmp_path):
    path = oprm_file(TINY.write(tmp_path))
    path.write_text(path.read_text()[:-40])
    run = read_run(tmp_path)
    assert len(run.answers("oprm", "recall")) == 5
    assert "recall.serial.jsonl" in run.notes[0]
    assert "torn last line" in run.notes[0]


def test_the_order_of_the_lines_is_not_seen_nor_a_file_that_is_still_empty(tmp_path):
    path = oprm_file(TINY.write(tmp_path))
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    oprm_file(tmp_path, "shard-2-of-2").touch()
    run = read_run(tmp_path)
    assert run.columns["oprm", "recall"].ids == tuple(f"recall-{n:04d}" for n in range(6))
    assert run.notes == ()


def test_a_plan_that_says_nothing_of_rows_left_out_has_none(tmp_path):
    path = TINY.write(tmp_path) / "run.json"
    info = json.loads(path.read_text())
    del info["benchmarks"][0]["tasks"][0]["left_out"]
    path.write_text(json.dumps(info))
    assert read_run(tmp_path).tasks[0].left_out == 0


def test_records_that_the_plan_does_not_name_are_left_out_with_a_note(tmp_path):
    path = oprm_file(TINY.write(tmp_path))
    append(path, lines_of(path)[0] | {"task": "riddles"}, lines_of(path)[0] | {"method": "magic"})
    run = read_run(tmp_path)
    assert {task for _, task in run.records} == {"recall"}
    assert run.notes == ("2 records of methods or tasks that run.json does not name were left out.",)


def test_an_example_without_a_cluster_is_one_by_itself(tmp_path):
    replace(TINY, edit=lambda row: row | {"cluster": ""}).write(tmp_path)
    assert len(set(read_run(tmp_path).columns["oprm", "recall"].clusters)) == 6


def test_evidence_is_read_where_there_is_any(tmp_path):
    absent = facts_task("recall_absent", (10,), 3, confirmatory=False)
    run = read_run(replace(TINY, tasks=(*TINY.tasks, absent)).write(tmp_path))
    assert all(one.evidence for one in run.examples["recall"].values())
    assert not any(one.evidence for one in run.examples["recall_absent"].values())


def test_the_seed_of_the_resampling_knows_the_model_and_not_the_place(tmp_path):
    def key(name: str, **settings: str) -> str:
        return read_run(replace(TINY, settings=settings).write(tmp_path / name)).key

    assert key("here") == key("there", path="/elsewhere/models/tiny", device="cuda")
    assert key("here") != key("other", revision="local-4567")


@pytest.mark.parametrize(
    ("tags", "bucket", "expected"),
    [
        ({"facts": 10, "length": 1200}, "10", "facts"),
        ({"length": 4000, "facts": 1}, "4k", "length"),
        ({"hops": 2}, "2", "hops"),
        ({"hops": 3}, "2", "bucket"),
        ({}, "0-4000", "bucket"),
    ],
)
def test_a_bucket_is_named_after_the_tag_that_it_repeats(tmp_path, tags, bucket, expected):
    replace(TINY, edit=lambda row: row | {"tags": tags, "bucket": bucket}).write(tmp_path)
    assert read_run(tmp_path).bucket_names["recall"] == expected


def test_a_bucket_is_not_named_after_a_tag_that_one_record_contradicts(tmp_path):
    def edit(row: Row) -> Row:
        return row | {"tags": {"facts": 11 if row["example"] == "recall-0000" else 10}, "bucket": "10"}

    replace(TINY, edit=edit).write(tmp_path)
    assert read_run(tmp_path).bucket_names["recall"] == "bucket"


def test_buckets_sort_by_the_number_they_begin_with():
    numbers, words = ["900", "4k", "8000-12000", "16k", "1M"], ["short", "medium", "long", "easy"]
    assert sorted([*reversed(words), *reversed(numbers)], key=bucket_order) == [*numbers, *words]


# --- what is refused


def no_records(folder: Path) -> None:
    shutil.rmtree(folder / "records")


def no_plan(folder: Path) -> None:
    (folder / "run.json").unlink()


def plan_of(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "run.json").write_text(text)


def plan_with(**changed: object) -> Callable[[Path], None]:
    return partial(change_plan, **changed)


def bad_line(folder: Path) -> None:
    path = oprm_file(folder)
    path.write_text("not JSON\n" + path.read_text())


def bad_score(folder: Path) -> None:
    path = oprm_file(folder)
    append(path, lines_of(path)[0] | {"score": 97.0})


def two_models(folder: Path) -> None:
    path = oprm_file(folder)
    append(path, lines_of(path)[0] | {"model": "falcon"})


def bad_evidence(folder: Path) -> None:
    (folder / "examples" / "recall.jsonl").write_text('{"id": "recall-0000"}\n')


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shutil.rmtree, "is not a folder"),
        (no_plan, "has no run.json"),
        (plan_of("{"), "run.json is not JSON"),
        (plan_of("[]"), "expected an object, found a list"),
        (plan_with(benchmarks=[{}]), "run.json is malformed: 'tasks' is missing"),
        (plan_with(settings={}), "run.json is malformed: 'model' is missing"),
        (plan_with(versions=["x"]), r'run.json is malformed: versions is \["x"\], expected an object'),
        (plan_with(sessions=["x"]), "run.json is malformed: sessions is .*, expected an object"),
        (plan_with(sessions={"a": "x"}), r'malformed: sessions\.a is "x", expected an object'),
        (plan_with(sessions={"a": {"versions": 1}}), r"malformed: sessions\.a\.versions is 1, expected an"),
        (no_records, "has no records yet"),
        (bad_line, "recall.serial.jsonl:1 is not a JSON object"),
        (bad_score, "score 97.0 is not 0-1"),
        (two_models, "several models"),
        (bad_evidence, "recall.jsonl is malformed: 'evidence' is missing"),
    ],
)
def test_what_cannot_be_reported_is_refused_in_one_line(tmp_path, spoil, message):
    spoil(TINY.write(tmp_path / "run"))
    with pytest.raises(ReportError, match=message) as caught:
        _ = read_run(tmp_path / "run").columns
    assert "\n" not in str(caught.value)
