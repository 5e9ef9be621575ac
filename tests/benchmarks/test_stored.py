"""Examples that stay on disk: what is found, what is read again, what a torn file loses."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.base import Example
from benchmarks.sources import DataError, local_file
from benchmarks.stored import StoredExamples, array_items, lines

VALUES = st.recursive(
    st.none() | st.integers() | st.text('ab"\\{}[]:,\n é'),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)
ROWS = st.lists(st.dictionaries(st.text('a"{\\', max_size=3), VALUES, max_size=3), max_size=6)


def make(row):
    if "text" not in row:
        return "it has no text"
    return Example(row["id"], row["text"], "q", ("a",), 1, "b")


def stored(path, **options):
    bad: list[str] = []
    return StoredExamples(local_file(path), make, bad, **options), bad


@settings(derandomize=True, deadline=None)
@given(ROWS, st.sampled_from([None, 1]), st.booleans())
def test_every_object_of_an_array_is_found_whatever_is_in_its_strings(tmp_path_factory, rows, indent, ascii_):
    path = tmp_path_factory.mktemp("array") / "data.json"
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=ascii_), encoding="utf-8")
    content = path.read_bytes()
    assert [json.loads(content[one.start : one.end]) for one in array_items(path)] == rows


def test_rows_are_read_again_from_either_kind_of_file(tmp_path):
    rows = [{"id": "a", "text": "x\ny"}, {"id": "b"}, {"id": "a", "text": "z"}]
    (tmp_path / "x.jsonl").write_text("\n\n".join(map(json.dumps, rows)))
    (tmp_path / "x.json").write_text(json.dumps(rows))
    for path, array, place in (("x.jsonl", False, ":3"), ("x.json", True, ": row 2")):
        examples, bad = stored(tmp_path / path, array=array)
        assert [example.id for example in examples] == ["a", "a-2"]
        assert [example.context for example in examples[0:2]] == ["x\ny", "z"]
        assert [outline.id for outline in examples.outlines] == ["a", "a-2"]
        assert bad == [f"{tmp_path / path}{place}: it has no text"]
        assert [outline.document for outline in examples.outlines] == [one.cluster for one in examples]
        assert examples[-1].context == "z"
        with pytest.raises(IndexError):
            examples[2]


def test_the_number_behind_a_repeated_id_makes_no_id_that_is_there_already(tmp_path):
    rows = [{"id": name, "text": str(place)} for place, name in enumerate(("a", "a", "a-2"))]
    (tmp_path / "x.json").write_text(json.dumps(rows))
    examples, _ = stored(tmp_path / "x.json", array=True)
    assert [(one.id, one.context) for one in examples] == [("a", "0"), ("a-2", "1"), ("a-2-2", "2")]


def test_no_text_is_kept_in_memory(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"id": "a", "text": "x" * 100}))
    examples, _ = stored(path)
    path.write_text(json.dumps({"id": "a", "text": "y" * 100}))
    assert examples[0].context == "y" * 100
    path.write_text("")
    with pytest.raises(DataError, match="changed while it was in use"):
        examples[0]


@pytest.mark.parametrize(("cut", "ids"), [(1, ["a", "b"]), (5, ["a"]), (26, ["a"]), (45, [])])
def test_an_array_that_ends_early_keeps_its_whole_rows_and_says_so(tmp_path, cut, ids):
    path = tmp_path / "x.json"
    path.write_text(json.dumps([{"id": "a", "text": "x"}, {"id": "b", "text": "y"}])[:-cut])
    examples, bad = stored(path, array=True)
    assert [example.id for example in examples] == ids
    assert bad == [f"{path}: the file ends early, after row {len(ids)}: not a whole JSON object"]


def test_brackets_behind_the_quote_of_a_torn_text_are_no_rows(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('[{"id": "a", "text": "x"}, {"id": "b", "text": "torn }, {} ]')
    examples, bad = stored(path, array=True)
    assert [example.id for example in examples] == ["a"]
    assert bad == [f"{path}: the file ends early, after row 1: not a whole JSON object"]


@pytest.mark.parametrize("text", ["", "  ", '{"a": 1}', "x"])
def test_what_is_no_array_is_refused(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(DataError, match="no JSON array"):
        list(array_items(path))


def test_lines_are_counted_from_one_with_the_empty_ones(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\n{}\r\n{}")
    assert [(one.place[-2:], one.start, one.end) for one in lines(path)] == [(":2", 1, 5), (":3", 5, 7)]
