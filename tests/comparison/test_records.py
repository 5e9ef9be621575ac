"""Records on the disk: nothing lost, nothing doubled, nothing half."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comparison import records
from comparison.records import Record, RecordError, RecordFile

STEADY = settings(derandomize=True, deadline=None)


def record(number=0, **changed):
    fields = {
        "key": f"key{number}",
        "model": "tiny",
        "method": "full",
        "control": False,
        "task": "words",
        "example": f"words-{number}",
        "cluster": "c",
        "bucket": "a",
        "tags": {"facts": 10},
        "length": 12,
        "prediction": "Ω\n\udc80",
        "answers": ("x", "y"),
        "score": 0.5,
        "metric": "value@1",
        "empty": False,
        "truncated": False,
        "error": None,
        "spans": ((0, 4),),
        "cost": {"seconds": {"total": 1.0}},
        "cold": True,
        "details": {"picked": [1]},
    }
    return Record(**(fields | changed))


def write(path, *rows):
    with RecordFile(path) as file:
        for row in rows:
            file.append(row)


def test_a_record_survives_the_trip_to_disk_and_back(tmp_path):
    path = tmp_path / "r.jsonl"
    write(path, record(0), record(1, spans=None, error="undefined: x"))
    assert records.read_file(path) == [record(0), record(1, spans=None, error="undefined: x")]


def test_a_torn_last_line_is_left_out_when_read_and_cut_off_when_written_on(tmp_path):
    path = tmp_path / "r.jsonl"
    write(path, record(0), record(1))
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert [row.example for row in records.read_file(path)] == ["words-0"]
    write(path, record(1))
    assert path.read_bytes() == whole


def test_a_file_of_one_torn_line_starts_again(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_bytes(b'{"half": ')
    assert records.read_file(path) == []
    write(path, record(0))
    assert records.read_file(path) == [record(0)]


@pytest.mark.parametrize("line", ["not json", "[1]", '{"schema": 1, "key": "k"}', '{"schema": 2}'])
def test_a_bad_line_names_its_file_and_number(tmp_path, line):
    path = tmp_path / "r.jsonl"
    write(path, record(0))
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(RecordError, match=r"r\.jsonl:2"):
        records.read_file(path)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"bucket": 3}, "bucket is 3, expected text"),
        ({"prediction": 4}, "prediction is 4, expected text"),
        ({"error": 5}, "error is 5, expected text or null"),
        ({"empty": None}, "empty is null, expected true or false"),
        ({"length": "x"}, 'length is "x", expected a number'),
        ({"tags": None}, "tags is null, expected an object"),
        ({"details": [1]}, r"details is \[1\], expected an object"),
        ({"answers": "x"}, 'answers is "x", expected a list'),
        ({"cost": None}, "cost is null, expected an object"),
        ({"cost": {"seconds": None}}, r"cost\.seconds is null, expected an object"),
        ({"cost": {"calls": "2"}}, r'cost\.calls is "2", expected a number'),
        ({"answers": ["x", 1]}, "answers holds 1, expected text"),
        ({"spans": [["x", 4]]}, "invalid literal for int.*"),
        ({"cost": {"seconds": {"read": 1, "total": "x"}}}, r'cost\.seconds holds "x", expected a number'),
    ],
)
def test_a_field_of_another_type_is_named_with_its_file_and_line(tmp_path, changed, said):
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(record(0).to_json()) + "\n" + json.dumps(record(1).to_json() | changed) + "\n")
    with pytest.raises(RecordError, match=rf"r\.jsonl:2: not a record: {said}$"):
        records.read_file(path)


def test_a_record_of_another_schema_is_refused_even_where_every_field_is_known(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(record(0).to_json() | {"schema": 2}) + "\n")
    with pytest.raises(RecordError, match="record schema 2, expected 1: another version wrote it"):
        records.read_file(path)


def test_a_number_that_json_has_no_word_for_is_not_written(tmp_path):
    path = tmp_path / "r.jsonl"
    with RecordFile(path) as file, pytest.raises(ValueError, match="not JSON compliant"):
        file.append(record(0, details={"entropy": float("nan")}))
    assert path.read_bytes() == b""


def test_a_full_disk_is_one_error_and_keeps_the_records_before_it(tmp_path):
    path = tmp_path / "r.jsonl"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with RecordFile(path) as file:
            file.append(record(0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, limits[1]))
            with pytest.raises(RecordError, match=r"cannot write.*are safe.*same command again"):
                file.append(record(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert records.read_file(path) == [record(0)]
    write(path, record(1))
    assert records.read_file(path) == [record(0), record(1)]


def test_a_folder_that_is_a_file_is_one_error(tmp_path):
    (tmp_path / "here").write_text("")
    with pytest.raises(RecordError, match="cannot write"):
        RecordFile(tmp_path / "here" / "r.jsonl")


def test_whole_files_are_replaced_and_leave_nothing_behind(tmp_path):
    path = tmp_path / "new" / "folder" / "run.json"
    records.write_whole(path, "old")
    records.write_whole(path, "new \udc80")
    assert path.read_text() == "new \\udc80"
    assert os.listdir(path.parent) == ["run.json"]
    with pytest.raises(RecordError, match=rf"cannot write {path.parent}: Is a directory; the records"):
        records.write_whole(path.parent, "text")
    assert os.listdir(tmp_path / "new") == ["folder"]


def run_folder(tmp_path, version="v2"):
    (tmp_path / "run.json").write_text(json.dumps({"methods": [{"label": "full", "version": version}]}))
    return records.record_path(tmp_path, "tiny", "full", "words", "serial")


def test_an_answer_takes_the_place_of_an_error_and_never_the_other_way(tmp_path):
    path = run_folder(tmp_path, "")
    other = path.with_name("words.shard-1-of-2.jsonl")
    write(path, record(0, error="E"), record(0), record(1))
    write(other, record(1, error="E"), record(2, error="E"), record(2, error="E again"))
    found = {row.example: row.error for row in records.read_records(tmp_path)}
    assert found == {"words-0": None, "words-1": None, "words-2": "E again"}


def test_records_of_older_code_are_left_out(tmp_path):
    path = run_folder(tmp_path)
    write(path, record(0, version="v1"), record(1, version="v1"), record(0, version="v2", key="new"))
    assert [(row.example, row.version) for row in records.read_records(tmp_path)] == [("words-0", "v2")]


def test_a_task_whose_name_goes_on_after_a_dot_is_another_task(tmp_path):
    rows = [record(0), record(0, task="words.hard"), record(0, task="words.hard", method="rag")]
    for row in rows:
        write(records.record_path(tmp_path, "tiny", row.method, row.task, "serial"), row)
    assert records.read_group(tmp_path, "tiny", "full", "words") == rows[:1]
    assert records.read_task(tmp_path, "tiny", "words") == rows[:1]
    assert records.read_task(tmp_path, "tiny", "words.hard") == rows[1:]


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RecordError, match="not a run folder"):
        records.read_records(tmp_path)


def test_a_key_depends_on_every_part_and_not_on_their_order():
    one = records.key({"a": 1, "b": {"c": [1, 2]}})
    assert one == records.key({"b": {"c": [1, 2]}, "a": 1})
    assert one != records.key({"a": 1, "b": {"c": [2, 1]}})
    assert records.key({"a": "\u00fc"}) == hashlib.sha256(b'{"a":"\\u00fc","key_version":1}').hexdigest()


def test_the_folder_of_a_label_stays_what_it_was():
    assert records.slug("oprm:k=2") == "oprm-k-2-8a0250ee"
    assert records.slug("ab" * 100) == "ab" * 45 + "a-" + hashlib.sha256(b"ab" * 100).hexdigest()[:8]


@STEADY
@given(st.text(max_size=300), st.text(max_size=300))
def test_a_slug_is_a_safe_name_and_tells_labels_apart(label, other):
    name = records.slug(label)
    assert 8 <= len(name) <= 100
    assert name.isascii()
    assert not set(name) & set("/\\: ")
    assert not name.startswith((".", "-"))
    assert (name == records.slug(other)) == (label == other)


@STEADY
@given(st.text(min_size=1, max_size=120))
def test_a_task_cannot_lead_out_of_its_folder(task):
    path = records.record_path(Path("run"), "m", "full", task, "serial")
    assert path.parent == records.group_folder(Path("run"), "m", "full")
    assert ".." not in path.parts
