"""Files of rows: on disk, in a zip, from the hub's cache; what is torn is named and passed over."""

from __future__ import annotations

import hashlib
import json
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import sources
from benchmarks.sources import (
    DataError,
    Source,
    distinct,
    hub_file,
    hub_rows,
    local_file,
    parse_row,
    read_rows,
    zip_members,
)

LINES = b'{"a": 1}\n\n{"a": "\xc3\xa9"}\r\n[1]\n{"a": \n\xff\n{"a": 4}'


def rows(source):
    bad: list[str] = []
    return [(place.rpartition("/")[2], row["a"]) for place, row in read_rows(source, bad)], bad


def test_rows_come_with_their_lines_and_torn_ones_are_named(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(LINES)
    found, bad = rows(local_file(path))
    assert found == [("x.jsonl:1", 1), ("x.jsonl:3", "é"), ("x.jsonl:7", 4)]
    assert bad == [f"{path}:{line}: not a whole JSON object" for line in (4, 5, 6)]


def test_a_zip_is_read_in_place_as_a_file_is(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data/x.jsonl", LINES)
        archive.writestr("data/sub/", "")
    members = zip_members(tmp_path / "data.zip")
    assert list(members) == ["x.jsonl"]
    found, bad = rows(members["x.jsonl"])
    assert [value for _, value in found] == [1, "é", 4]
    assert bad[0] == "data.zip:data/x.jsonl:4: not a whole JSON object"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.zip"]


def test_two_files_of_rows_of_one_name_in_a_zip_are_not_chosen_between(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for name in ("data/x.jsonl", "README", "data/README", "data2/x.jsonl"):
            archive.writestr(name, LINES)
    with pytest.raises(
        DataError, match=r"data\.zip holds data/x\.jsonl and data2/x\.jsonl: leave one of them$"
    ):
        zip_members(tmp_path / "data.zip")


def test_a_revision_is_the_digest_of_the_content(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(LINES)
    assert local_file(path).revision == f"file-{hashlib.sha256(LINES).hexdigest()[:16]}"


@pytest.mark.parametrize("cut", [10, 120])
def test_a_torn_zip_is_refused_in_one_line(tmp_path, cut):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data/x.jsonl", LINES * 9)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"^[^\n]*not a whole zip file[^\n]*fetch it again$"):
        zip_members(path)


def test_damage_inside_a_zip_is_refused_when_it_is_read(tmp_path):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.jsonl", LINES * 9)
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read data\.zip:x\.jsonl"):
        rows(zip_members(path)["x.jsonl"])


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot read"):
        local_file(tmp_path / "none.jsonl")


def test_a_file_that_went_away_is_one_line_that_names_it(tmp_path):
    path = tmp_path / "none.jsonl"
    with pytest.raises(DataError, match=f"^cannot read {path}: No such file or directory$"):
        rows(Source(path, "r"))


def test_a_row_of_a_hundred_thousand_brackets_is_no_row():
    assert parse_row(b'{"a": ' + b"[" * 100_000) is None


def test_repeated_ids_are_told_apart():
    assert list(distinct(["a", "b", "a", "a"])) == ["a", "b", "a-2", "a-3"]


@settings(derandomize=True, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "a-2", "a-3", "a-2-2"]), max_size=9))
def test_no_two_ids_are_alike_and_the_first_of_a_name_that_is_free_keeps_it(ids):
    found = list(distinct(ids))
    assert len(set(found)) == len(ids)
    for place, (one, name) in enumerate(zip(ids, found, strict=True)):
        assert (name == one) == (one not in found[:place])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty hub cache, and a network that is down."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    def down():
        raise OSError("Name or service not known")

    monkeypatch.setattr(sources, "_greet_hub", down)
    return tmp_path / "hub"


def test_a_cached_hub_file_needs_no_network_and_is_known_by_its_commit(cache):
    commit = "5" * 40
    folder = cache / "datasets--owner--set" / "snapshots" / commit
    folder.mkdir(parents=True)
    (folder / "x.jsonl").write_bytes(LINES)
    source = hub_file("owner/set", "x.jsonl", commit)
    assert source.revision == f"owner/set@{commit}"
    assert rows(source)[0][0][1] == 1
    assert source.note == ""
    read = hub_file("owner/set", "x.jsonl", commit, looked="d/x.jsonl")
    assert read.note == f"d/x.jsonl is not there: the hub's owner/set@{commit} is read"
    names = cache / "datasets--owner--set" / "refs"
    names.mkdir()
    (names / "main").write_text(commit)
    assert hub_file("owner/set", "x.jsonl", "main").revision == f"owner/set@{commit}"


def test_without_network_and_cache_one_line_says_what_to_do(cache):
    with pytest.raises(DataError, match=r"^cannot fetch x.jsonl of owner/set[^\n]*--data-dir$"):
        hub_file("owner/set", "x.jsonl", "5" * 40)
    with pytest.raises(
        DataError, match=r"cache, and there is no d/x.jsonl; go online once, or put it there$"
    ):
        hub_file("owner/set", "x.jsonl", "5" * 40, looked="d/x.jsonl")
    with pytest.raises(
        DataError, match=r"cache, and there is no d/y.jsonl; go online once, or put it there$"
    ):
        hub_rows("owner/set", None, "test", looked="d/y.jsonl")


def test_a_folder_laid_out_as_a_hub_set_is_read_by_datasets(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "set" / "task"
    folder.mkdir(parents=True)
    datasets.Dataset.from_list([{"question": "q", "answers": ["a"]}]).to_parquet(folder / "test-0.parquet")
    (tmp_path / "set" / "README.md").write_text(
        "---\nconfigs:\n- config_name: task\n  data_files:\n  - split: test\n    path: task/*.parquet\n---\n"
    )
    found = hub_rows(str(tmp_path / "set"), "task", "test")
    assert list(found) == [(f"{tmp_path}/set/task row 1", {"question": "q", "answers": ["a"]})]
    assert found.revision.startswith(f"{tmp_path}/set@")
    with pytest.raises(
        DataError, match=f"^cannot read other of {tmp_path}/set: [^\\n]*other[^\\n]*Available: "
    ):
        hub_rows(str(tmp_path / "set"), "other", "test")


def test_a_cached_hub_set_is_known_by_the_commit_that_was_fetched(tmp_path, monkeypatch, cache):
    datasets = pytest.importorskip("datasets")
    writer = pytest.importorskip("datasets.arrow_writer")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    commit = "5" * 40
    folder = tmp_path / "cache" / "owner___set" / "distractor" / "0.0.0" / commit
    folder.mkdir(parents=True)
    table = datasets.Dataset.from_list([{"question": "q"}])
    with writer.ArrowWriter(path=str(folder / "set-validation.arrow"), features=table.features) as file:
        file.write(table[0])
        file.finalize()
    split = {"name": "validation", "num_examples": 1, "num_bytes": 1, "dataset_name": "set"}
    info = {"config_name": "distractor", "dataset_name": "set", "version": "0.0.0", "splits": [split]}
    datasets.DatasetInfo(features=table.features, **info).write_to_directory(str(folder))
    verbosity, during, load = datasets.logging.get_verbosity(), [], datasets.load_dataset

    def watched(*asked, **options):
        during.append((datasets.logging.get_verbosity(), datasets.config.HF_HUB_OFFLINE))
        return load(*asked, **options)

    monkeypatch.setattr(datasets, "load_dataset", watched)
    found = hub_rows("owner/set", "distractor", "validation")
    assert during == [(datasets.logging.ERROR, True)]  # it would warn that it asked nobody
    assert datasets.logging.get_verbosity() == verbosity
    assert found.revision == f"owner/set@{commit}"
    assert list(found) == [("owner/set/distractor row 1", {"question": "q"})]
    read = hub_rows("owner/set", "distractor", "validation", looked="d/x.jsonl")
    assert (found.note, read.note) == ("", f"d/x.jsonl is not there: the hub's owner/set@{commit} is read")


def test_json_rows_need_not_be_ascii(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"a": "中"}, ensure_ascii=False), encoding="utf-8")
    assert rows(local_file(path))[0] == [("x.jsonl:1", "中")]
