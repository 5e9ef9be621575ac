"""Which files a benchmark reads: those of the folder, of a zip there, of the hub; what is said where they are others.

Exercised by ``python -m pytest tests/benchmarks/test_found_files.py``.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from data_files import load, write

from benchmarks import longbench as longbench_room
from benchmarks.hotpotqa import hotpotqa
from benchmarks.infinitebench import infinitebench
from benchmarks.longbench import longbench, longbench_e
from benchmarks.longbench_v2 import longbench_v2
from benchmarks.musique import musique
from benchmarks.sources import DataError, HubRows, Source

SHARED = Path(__file__).parents[3] / "shared" / "data"
ROW = {
    "_id": "x",
    "input": "Who?",
    "context": "Alden lives.",
    "answers": ["Alden"],
    "length": 3999,
    "all_classes": None,
}
V2 = {f"choice_{letter}": letter for letter in "ABCD"} | {
    "_id": "v0",
    "question": "Which?",
    "answer": "B",
    "context": "a text",
    "length": "long",
}
MUSIQUE = {
    "id": "2hop__1",
    "question": "Who?",
    "answer": "Alden",
    "paragraphs": [{"title": "A", "paragraph_text": "Alden lives.", "is_supporting": True}],
}


@pytest.mark.parametrize(
    ("benchmark", "name", "text"),
    [
        (longbench, "longbench/hotpotqa.jsonl", "\n"),
        (longbench_v2, "longbench_v2/data.json", "[]"),
        (infinitebench, "infinitebench/passkey.jsonl", ""),
    ],
)
def test_a_file_without_rows_is_an_error_that_names_it(tmp_path, benchmark, name, text):
    path = write(tmp_path / name, text)
    with pytest.raises(DataError, match=f"^{path} holds no rows: "):
        load(benchmark, tmp_path)


def test_every_task_that_is_there_is_taken_in_the_official_order(tmp_path):
    for name in ("hotpotqa", "narrativeqa", "unrelated"):
        write(tmp_path / f"longbench/{name}.jsonl", ROW)
    sets = load(longbench, tmp_path)
    assert [one.task.name for one in sets] == ["narrativeqa", "hotpotqa"]
    folder = tmp_path / "longbench"
    assert {one.note for one in sets} == {f"{folder}: not read, as no task has the name: unrelated.jsonl"}


def test_files_of_no_task_s_name_are_said_and_no_others(tmp_path):
    odd = ("2wikiqa.jsonl", "Qasper.jsonl", "musique.jsonl.gz", "musique_e.jsonl", "qmsum (1).jsonl")
    for name in ("hotpotqa.jsonl", "hotpotqa_e.jsonl", "README.md", *odd):
        write(tmp_path / "longbench" / name, ROW)
    for benchmark in (longbench, longbench_e):
        [one] = load(benchmark, tmp_path)
        assert one.note.endswith(f"no task has the name: {', '.join(odd)}")
    with pytest.raises(
        DataError, match=r"needs qasper.jsonl, .*: it holds 2wikiqa.jsonl, Qasper.jsonl, hotpotqa"
    ):
        load(longbench, tmp_path, tasks=("qasper",))
    for name in odd:
        (tmp_path / "longbench" / name).unlink()
    assert load(longbench, tmp_path)[0].note == ""


def test_a_folder_without_the_set_says_what_it_holds_instead(tmp_path):
    folder = tmp_path / "longbench"
    write(folder / "data/hotpotqa.jsonl", ROW)
    match = "neither <task>.jsonl nor data.zip but {}: put LongBench's"
    with pytest.raises(DataError, match=match.format("data")):
        load(longbench, tmp_path)
    for number in range(12):
        write(folder / f"x{number:02d}.jsonl", ROW)
    with pytest.raises(DataError, match=match.format("data, x00.jsonl, .*, x08.jsonl and 3 more")):
        load(longbench, tmp_path)
    (tmp_path / "bare" / "longbench").mkdir(parents=True)
    with pytest.raises(DataError, match=match.format("nothing")):
        load(longbench, tmp_path / "bare")


def test_a_task_that_was_named_must_be_there(tmp_path):
    write(tmp_path / "longbench/hotpotqa.jsonl", ROW)
    with pytest.raises(DataError, match=r"longbench needs qasper.jsonl, which is not in .*it holds hotpotqa"):
        load(longbench, tmp_path, tasks=("hotpotqa", "qasper"))
    with pytest.raises(ValueError, match="no task 'hotpot': did you mean hotpotqa"):
        load(longbench, tmp_path, tasks=("hotpot",))
    with pytest.raises(
        ValueError, match=r"^longbench with profile=paper has no task 'lsht': expected narrativeqa"
    ):
        list(longbench(len, tasks=("lsht",), profile="paper"))
    with pytest.raises(ValueError, match="longbench_e has no task 'musique'"):
        load(longbench_e, tmp_path, tasks=("musique",))


def test_the_plain_file_does_not_stand_in_for_the_e_file_and_both_are_named(tmp_path):
    write(tmp_path / "longbench/hotpotqa.jsonl", ROW)
    for tasks in ((), ("hotpotqa",)):
        with pytest.raises(DataError, match=r"hotpotqa_e\.jsonl and .* has only hotpotqa\.jsonl"):
            load(longbench_e, tmp_path, tasks=tasks)


def test_a_zip_in_the_folder_is_read_in_place(tmp_path):
    (tmp_path / "longbench").mkdir()
    with zipfile.ZipFile(tmp_path / "longbench/data.zip", "w") as archive:
        archive.writestr("data/lcc.jsonl", json.dumps(ROW))
        archive.writestr("data/lcc_e.jsonl", json.dumps(ROW | {"context": ""}) + "\n" + json.dumps(ROW))
    [plain], [e] = load(longbench, tmp_path), load(longbench_e, tmp_path, code_similarity="levenshtein")
    assert (plain.task.metric, e.task.metric) == ("code_similarity_difflib", "code_similarity_levenshtein")
    assert (plain.task.gather, plain.task.chat) == ("last", False)
    assert e.left_out == ["data.zip:data/lcc_e.jsonl:1: it has no context"]


def test_a_file_beside_the_zip_comes_first_and_the_zip_s_other_tasks_are_run(tmp_path):
    write(tmp_path / "longbench/lcc.jsonl", ROW | {"_id": "beside"})
    write(tmp_path / "longbench/notes.jsonl", {})
    with zipfile.ZipFile(tmp_path / "longbench/data.zip", "w") as archive:
        for name in ("lcc", "qasper"):
            archive.writestr(f"data/{name}.jsonl", json.dumps(ROW | {"_id": "inside"}))
    sets = load(longbench, tmp_path)
    assert [(one.task.name, one.examples[0].id) for one in sets] == [("qasper", "inside"), ("lcc", "beside")]
    assert sets[0].note.endswith("notes.jsonl")
    (tmp_path / "longbench/lcc.jsonl").unlink()
    assert [one.task.name for one in load(longbench, tmp_path)] == ["qasper", "lcc"]


def test_a_zip_that_nothing_is_asked_of_is_not_looked_into(tmp_path):
    write(tmp_path / "longbench/lcc.jsonl", ROW)
    write(tmp_path / "longbench/data.zip", "half a download")
    assert len(load(longbench, tmp_path, tasks=("lcc",))) == 1
    with pytest.raises(DataError, match=r"data\.zip is not a whole zip file"):
        load(longbench, tmp_path, tasks=("lcc", "qasper"))


def test_the_hub_zip_is_asked_for_at_its_pinned_revision(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("data/lcc.jsonl", json.dumps(ROW))
    asked = []

    def fetched(*what, looked):
        asked.append((*what, looked))
        return Source(tmp_path / "data.zip", f"{what[0]}@{what[2]}", note="a note")

    monkeypatch.setattr(longbench_room, "hub_file", fetched)
    [one] = load(longbench, None)
    revision = "5e628be450b7e67fb7ae6e201bd6d8f7056f7672"
    assert asked == [("zai-org/LongBench", "data.zip", revision, "")]
    assert one.task.revision == f"zai-org/LongBench@{revision}"
    [one] = load(longbench, tmp_path / "other")
    assert asked[1][-1] == str(tmp_path / "other" / "longbench")
    assert one.note == "a note"


def test_the_place_where_a_file_was_looked_for_is_told_to_the_hub(tmp_path, monkeypatch):
    asked = []

    def fetched(*what, looked):
        asked.append(looked)
        return Source(path, "r", note=looked)

    monkeypatch.setattr("benchmarks.longbench_v2.hub_file", fetched)
    monkeypatch.setattr("benchmarks.infinitebench.hub_file", fetched)
    path = write(tmp_path / "data.json", json.dumps([V2]))
    [v2] = load(longbench_v2, tmp_path)
    path = write(tmp_path / "passkey.jsonl", {"id": 1, "context": "c", "input": "i", "answer": ["1"]})
    [passkey] = load(infinitebench, tmp_path, tasks=("passkey",))
    load(infinitebench, None, tasks=("passkey",))
    assert asked == [str(tmp_path / "longbench_v2" / "data.json"), str(tmp_path / "infinitebench"), ""]
    assert [v2.note, passkey.note] == asked[:2]


def test_a_mirror_is_read_by_name_and_may_call_the_input_question(monkeypatch):
    row = {**ROW, "question": ROW["input"], "length": 5}
    del row["input"]
    monkeypatch.setattr(
        longbench_room, "hub_rows", lambda name, task, split: HubRows(f"{name}/{task}", "r@1", [row])
    )
    [one] = load(longbench_e, None, tasks=("qasper",), mirror="owner/copy")
    assert one.examples[0].question == "Who?"
    assert (one.task.name, one.task.revision) == ("qasper_e", "2-r@1")


def test_infinitebench_names_what_is_missing(tmp_path):
    (tmp_path / "empty" / "infinitebench").mkdir(parents=True)
    with pytest.raises(DataError, match=r"needs passkey\.jsonl, which is not in"):
        load(infinitebench, tmp_path / "empty")
    write(tmp_path / "infinitebench/passkey.jsonl", {})
    with pytest.raises(DataError, match=r"needs code_run\.jsonl, which is not in"):
        load(infinitebench, tmp_path, tasks=("code_run",))
    with pytest.raises(ValueError, match="did you mean passkey"):
        load(infinitebench, tmp_path, tasks=("paskey",))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real sample is not beside the checkout")
def test_the_real_sample_loads_whole():
    sets = load(longbench, SHARED)
    assert {one.task.name: len(one.examples) for one in sets}["multi_news"] == 10
    assert len(sets) == 11
    assert not any(one.left_out for one in sets)


def test_the_hub_s_file_of_musique_says_where_a_file_was_looked_for(monkeypatch, tmp_path):
    path = write(tmp_path / "other.jsonl", MUSIQUE)
    monkeypatch.setattr("benchmarks.musique.hub_file", lambda *asked, looked: Source(path, "r", note=looked))
    assert load(musique, None)[0].note == ""
    assert load(musique, tmp_path)[0].note == f"{tmp_path}/multihop/musique.jsonl or .json"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"_id": "x"', r"hotpotqa\.json is not a whole JSON file: "),
        ("[{}, 3]", r"hotpotqa\.json is no list of objects: expected the released file or a \.jsonl$"),
        ('[{"question": "\\ud83d"}]', r"\(the first: .*hotpotqa\.json row 1: holds half a character\)"),
    ],
)
def test_a_released_list_that_cannot_be_read_is_one_error(tmp_path, text, said):
    write(tmp_path / "multihop/hotpotqa.json", text)
    with pytest.raises(DataError, match=said):
        load(hotpotqa, tmp_path)


def test_two_files_of_one_set_are_not_chosen_between(tmp_path):
    for ending in ("jsonl", "json"):
        write(tmp_path / f"multihop/hotpotqa.{ending}", {})
    with pytest.raises(
        DataError, match=r"both .*hotpotqa\.jsonl and hotpotqa\.json are there: leave one of them$"
    ):
        load(hotpotqa, tmp_path)
