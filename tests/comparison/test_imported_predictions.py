"""Somebody's predictions as one more method: how they are paired, what is refused, what they leave behind."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from benchmarks import metrics
from benchmarks.base import Outline, Task
from benchmarks.longbench.score import score_folder
from comparison.imports import ImportFolderError, pair, pair_all, parse_import
from comparison.records import read_records
from methods.base import Undefined

TASK = Task("words_e", "", "{question}", "value", 8)
OUTLINES = [Outline(f"words-{n}", "a", (f"word{n}",)) for n in range(6)]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "theirs").mkdir()
    return tmp_path / "theirs"


def write(folder, rows, name="words.jsonl"):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / name).write_text("\n".join(lines) + "\n")


def predictions(ids=True, answers=True):
    for n in range(6):
        known = {"_id": f"words-{n}"} if ids else {}
        yield {"pred": f"word{n % 3}"} | known | ({"answers": [f"word{n}"]} if answers else {})


def test_rows_are_paired_by_id_in_any_order_and_number(folder):
    write(folder, list(predictions())[:2:-1])
    found = pair("theirs", folder, TASK, OUTLINES)
    assert found.texts == {"words-3": "word0", "words-4": "word1", "words-5": "word2"}
    assert found.describe() == "3 predictions imported, paired by _id"


def test_ids_may_be_numbers_and_one_that_comes_again_is_that_of_the_second_example(folder):
    outlines = [Outline(name, "a", ("one",)) for name in ("7", "7-2", "8")]
    write(folder, [{"pred": text, "_id": number} for text, number in (("a", 7), ("b", 8), ("c", 7))])
    found = pair("theirs", folder, TASK, outlines)
    assert (found.texts, found.how) == ({"7": "a", "8": "b", "7-2": "c"}, "paired by _id")


def test_a_torn_row_beside_ids_is_named_and_counted(folder):
    write(folder, [*list(predictions())[:2], '{"_id": "words-2", "pr'])
    found = pair("theirs", folder, TASK, OUTLINES)
    assert sorted(found.texts) == ["words-0", "words-1"]
    assert "paired by _id, 1 rows unreadable (" in found.describe()
    assert "words.jsonl:3 is not a whole JSON object" in found.describe()
    assert not found.unknown


def test_rows_of_no_example_and_a_second_row_of_one_are_counted_and_named(folder):
    rows = [{"_id": name, "pred": name} for name in ("words-0", "other-1", "words-0", "other-2")]
    rows[2]["pred"] = "another"
    write(folder, rows)
    found = pair("theirs", folder, TASK, OUTLINES)
    assert found.texts == {"words-0": "words-0"}
    place = folder / "words.jsonl"
    assert found.describe() == (
        "1 predictions imported, paired by _id, "
        f"3 rows of no example ({place}:2 has the _id 'other-1', which no example has)"
    )
    assert found.unknown[1] == f"{place}:3 has the _id 'words-0', which came before"


def test_what_was_not_taken_is_in_the_plan_and_in_the_report(run, folder, tmp_path):
    write(folder, [*predictions(), {"_id": "other", "pred": "x"}])
    run("Last", **{"import-predictions": [f"theirs={folder}"]})
    from reports import write_report

    page = write_report(tmp_path / "run").read_text()
    assert "- `words`, predictions of `theirs`: `1 rows of no example (" in page
    assert "words.jsonl:7 has the _id 'other', which no example has" in page


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([{"_id": "words-0", "pred": 7}, "{torn"], r"words.jsonl:1 has no text in pred"),
        (["{torn", "{torn"], r"words.jsonl has no readable row: .*words.jsonl:1 is not a whole JSON object"),
        (["{torn"] * 6, r"words.jsonl has no readable row: .*words.jsonl:1 is not a whole JSON object"),
    ],
)
def test_a_file_whose_rows_are_all_unreadable_is_named_with_its_first_line(run, folder, rows, reason):
    write(folder, rows)
    with pytest.raises(ValueError, match=rf"^--import-predictions theirs: [^\n]*{reason}[^\n]*$"):
        run("Last", **{"import-predictions": [f"theirs={folder}"]})


def test_rows_without_known_ids_are_paired_by_order_and_equal_answers(folder):
    for rows in (list(predictions(ids=False)), [row | {"_id": "other"} for row in predictions()]):
        write(folder, rows)
        found = pair("theirs", folder, TASK, OUTLINES)
        assert found.texts["words-4"] == "word1"
        assert found.how == "paired by order"


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        (list(predictions(ids=False))[:5], "has 5 rows and task words_e has 6 examples"),
        ([*predictions(ids=False)] * 2, "has 12 rows and task words_e has 6 examples"),
        (
            [row | {"answers": [f"word{n // 2}"]} for n, row in enumerate(predictions(ids=False))][::-1],
            "words.jsonl:1 has other answers than example words-0 of task words_e: these predictions are of other "
            "data, or in another order (LongBench's runner interleaves them on several GPUs): give every row the _id",
        ),
        (list(predictions(ids=False, answers=False)), "words.jsonl:1 has neither a known _id nor a list of"),
        ([row | {"answers": ["x"]} for row in predictions()], "other answers than example words-0"),
    ],
)
def test_predictions_of_other_data_are_refused_in_one_line(folder, rows, part):
    write(folder, rows)
    with pytest.raises(ImportFolderError, match=r"^--import-predictions theirs: [^\n]*$") as refusal:
        pair("theirs", folder, TASK, OUTLINES)
    assert part in str(refusal.value)


def test_rows_in_another_order_are_paired_by_their_answers_where_none_come_twice(folder):
    rows = list(predictions(ids=False))
    write(folder, rows[::2] + rows[1::2])  # as of two GPUs
    found = pair("theirs", folder, TASK, OUTLINES)
    assert found.texts == {f"words-{n}": f"word{n % 3}" for n in range(6)}
    assert found.describe() == "6 predictions imported, paired by answers"


def test_rows_in_another_order_whose_answers_come_twice_are_not_guessed_at(folder):
    outlines = [Outline(f"words-{n}", "a", (f"word{n // 2}",)) for n in range(4)]
    rows = [{"pred": str(n), "answers": [f"word{n // 2}"]} for n in range(4)]
    write(folder, rows[::2] + rows[1::2])
    with pytest.raises(ImportFolderError, match=r"words\.jsonl:2 .* in another order"):
        pair("theirs", folder, TASK, outlines)


def test_of_version_two_the_reply_is_the_prediction_and_not_the_letter_found_in_it(folder):
    task = replace(TASK, name="longbench_v2", metric="longbench_v2")
    outlines = [Outline(f"v{n}", "a", ("A",)) for n in range(3)]
    rows = [
        {"_id": "v0", "answer": "A", "response": "The correct answer is (A)", "pred": "A", "judge": True},
        {"_id": "v1", "answer": "A", "response": "I do not know", "pred": None, "judge": False},
        {"_id": "v2", "pred": "The correct answer is A"},
    ]
    write(folder, rows, "longbench_v2.jsonl")
    found = pair("theirs", folder, task, outlines)
    assert found.texts == {"v0": rows[0]["response"], "v1": "I do not know", "v2": "The correct answer is A"}
    assert [metrics.score(task.metric, text, ["A"]) for text in found.texts.values()] == [1, 0, 1]
    write(folder, [rows[0] | {"response": None}, *rows[1:]], "longbench_v2.jsonl")
    assert "v0" in pair("theirs", folder, task, outlines).reasons


SISTERS = {
    "words": [Outline(f"words-{n}", "a", (f"word{n}",)) for n in range(3)],
    "words_e": [Outline(f"words-{n}", "a", (f"word{n}",)) for n in range(2, 6)],
}
"""Two sets whose files have one name, and an example in common."""


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("name", list(SISTERS))
def test_a_file_that_fits_one_of_two_sets_of_a_name_is_taken_for_it_alone(folder, ids, name):
    rows = list(predictions(ids=ids))
    write(folder, rows[:3] if name == "words" else rows[2:])
    tasks = [(replace(TASK, name=one), outlines) for one, outlines in SISTERS.items()]
    found = pair_all("theirs", folder, tasks)
    (other,) = SISTERS.keys() - {name}
    assert list(found[name].texts) == [outline.id for outline in SISTERS[name]]
    assert found[other].describe() == f"{folder / 'words.jsonl'} is of {name}"
    assert pair_all("theirs", folder, tasks[::-1]) == found


def test_a_file_that_fits_neither_of_two_sets_is_refused_or_its_rows_are_counted(folder):
    tasks = [(replace(TASK, name=one), outlines) for one, outlines in SISTERS.items()]
    write(folder, list(predictions(ids=False))[:2])
    with pytest.raises(ImportFolderError, match="has 2 rows and task words has 3 examples"):
        pair_all("theirs", folder, tasks)
    write(folder, predictions())
    assert [len(one.unknown) for one in pair_all("theirs", folder, tasks).values()] == [3, 2]


def test_a_stray_row_does_not_hide_which_of_two_sets_a_file_is_of(folder):
    tasks = [(replace(TASK, name="words"), SISTERS["words"]), (replace(TASK, name="words_e"), OUTLINES[4:])]
    write(folder, [*list(predictions(answers=False))[:3], {"_id": "words-0", "pred": "again"}])
    for order in (tasks, tasks[::-1]):
        found = pair_all("theirs", folder, order)
        assert (len(found["words"].texts), len(found["words"].unknown)) == (3, 1)
        assert found["words_e"].describe() == f"{folder / 'words.jsonl'} is of words"


def test_each_of_two_sets_has_the_file_of_its_own_name(folder):
    tasks = [(replace(TASK, name=one), outlines) for one, outlines in SISTERS.items()]
    write(folder, list(predictions(ids=False))[:3])
    write(folder, list(predictions(ids=False))[2:], "words_e.jsonl")
    assert [len(one.texts) for one in pair_all("theirs", folder, tasks).values()] == [3, 4]
    write(folder, [*list(predictions())[:3], {"_id": "other", "pred": "x"}])
    found = pair_all("theirs", folder, tasks)["words"]
    assert (len(found.texts), len(found.unknown)) == (3, 1)  # which is no sign of the other set


def test_a_torn_row_keeps_its_place_and_leaves_its_example_undefined(folder):
    rows = list(predictions(ids=False))
    write(folder, [*rows[:2], "{torn", rows[3] | {"pred": None}, *rows[4:]])
    found = pair("theirs", folder, TASK, OUTLINES)
    assert set(found.texts) == {"words-0", "words-1", "words-4", "words-5"}
    assert found.reasons["words-2"].endswith("words.jsonl:3 is not a whole JSON object")
    assert found.reasons["words-3"].endswith("words.jsonl:4 has no text in pred")
    assert "4 predictions imported, paired by order, 2 rows unreadable (" in found.describe()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        *((text, "expected LABEL=DIR$") for text in ("theirs", "=here", "theirs=", "their\x1bs=here")),
        *((text, "is no folder with") for text in ("theirs=nowhere", "theirs=.", "theirs=" + "a" * 5000)),
    ],
)
def test_what_is_no_label_and_folder_is_refused(text, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImportFolderError, match=f"^--import-predictions .*{said}"):
        parse_import(text)


def test_blanks_around_a_label_and_its_folder_are_no_part_of_them(folder):
    write(folder, list(predictions()))
    assert parse_import(f" theirs = {folder} ") == ("theirs", folder)


def test_blank_lines_are_no_rows_and_a_file_without_any_is_too_short(folder):
    first, *others = predictions(ids=False)
    write(folder, ["", first, "  ", *others])
    assert len(pair("theirs", folder, TASK, OUTLINES).texts) == 6
    write(folder, [""])
    with pytest.raises(ImportFolderError, match="has 0 rows and task words_e has 6 examples"):
        pair("theirs", folder, TASK, OUTLINES)


def test_an_answer_that_was_not_imported_is_undefined_with_the_reason(folder):
    write(folder, list(predictions())[:5])
    for task, reason in ((TASK, "not in the import"), (replace(TASK, name="more"), "no file for this task")):
        with pytest.raises(Undefined, match=f"^{reason}$"):
            pair("theirs", folder, task, OUTLINES).answer("words-5")


def test_an_import_is_a_method_of_the_run_without_cost(run, folder, tmp_path):
    write(folder, list(predictions())[:5])
    tally = run("Last", **{"import-predictions": [f"theirs={folder}"]})
    assert (tally.answered, tally.undefined, tally.failed) == (12, 1, 0)
    records = {row.example: row for row in read_records(tmp_path / "run") if row.method == "theirs"}
    assert [records[f"words-{n}"].score for n in range(6)] == [1, 1, 1, 0, 0, 0]
    assert records["words-5"].error == "undefined: not in the import"
    assert records["words-4"].prediction == "word1"
    assert all(not row.cost and not row.control for row in records.values())
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [(one["label"], one.get("imported", False)) for one in info["methods"]] == [
        ("comparison_fakes:Last", False),
        ("theirs", True),
    ]
    assert run("Last", **{"import-predictions": [f"theirs={folder}"]}).answered == 0


def imported_texts(tmp_path):
    found = read_records(tmp_path / "run")
    return [row.prediction for row in sorted(found, key=lambda row: row.example) if row.method == "theirs"]


def test_corrected_predictions_take_the_place_of_the_old_whoever_wrote_those(run, folder, tmp_path):
    given = {"import-predictions": [f"theirs={folder}"]}
    write(folder, [row | {"pred": "wrong"} for row in predictions()])
    for shard in ("1/2", "2/2"):
        run("Last", shard=shard, **given)
    write(folder, [row | {"pred": f"word{n}"} for n, row in enumerate(predictions())])
    assert run("Last", shard="1/2", **given).left == 3
    assert imported_texts(tmp_path) == ["word0", "word2", "word4"]  # and none of the old beside them
    assert run("Last", **given).answered == 3
    assert imported_texts(tmp_path) == [f"word{n}" for n in range(6)]
    assert run("Last", **given).answered == 0


def test_the_predictions_for_one_task_outlast_a_run_of_another(run, folder, tmp_path):
    write(folder, predictions())
    run("Last", **{"import-predictions": [f"theirs={folder}"]})
    write(folder, [], name="words.jsonl")
    write(folder, [row | {"pred": "x"} for row in predictions()], name="more-words.jsonl")
    more = {"benchmark": "more=comparison_fakes:words", "import-predictions": [f"theirs={folder}"]}
    assert run("Last", **more).answered == 12
    assert run("Last").answered == 0  # nor does a run without the import forget it
    assert len(imported_texts(tmp_path)) == 12


def test_an_import_of_a_folder_without_versions_is_read_and_taken_again(run, folder, tmp_path):
    given = {"import-predictions": [f"theirs={folder}"]}
    write(folder, predictions())
    run("Last", **given)
    for path in (tmp_path / "run").glob("records/*/theirs*/*.jsonl"):
        text = re.sub(r'"key": "\w+"', '"key": "old"', path.read_text())
        path.write_text(re.sub(r"imported-[0-9a-f]{16}", "imported", text))
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    del info["benchmarks"][0]["tasks"][0]["imports"]
    (tmp_path / "run" / "run.json").write_text(json.dumps(info))
    assert len(imported_texts(tmp_path)) == 6
    assert run("Last", **given).answered == 6
    assert len(imported_texts(tmp_path)) == 6


@pytest.fixture
def qasper(folder, tmp_path):
    """Six questions of qasper, half of them without an answer, and predictions that say "Error" to all."""
    rows = [
        {"_id": f"q{n}", "context": "c Error", "input": "Q?", "length": 9, "all_classes": None}
        | {"answers": ["Unanswerable" if n % 2 else "an error rate"]}
        for n in range(6)
    ]
    (tmp_path / "longbench").mkdir()
    write(tmp_path / "longbench", rows, "qasper.jsonl")
    write(folder, [row | {"pred": "Error"} for row in rows], "qasper.jsonl")
    return {
        "benchmark": "longbench:tasks=qasper",
        "data-dir": str(tmp_path),
        "import-predictions": [f"theirs={folder}"],
    }


def means(tmp_path):
    scores = {}
    for row in read_records(tmp_path / "run"):
        scores.setdefault(row.method.split(":")[-1], []).append(100 * row.score)
    return {method: round(sum(found) / len(found), 2) for method, found in scores.items()}


def test_an_import_scores_what_the_score_program_gives_the_same_file(run, folder, tmp_path, qasper):
    run("Last", **qasper)
    official = score_folder(folder)[0]["tasks"]["qasper"]
    assert official == 33.33  # of "an error rate" Error has two thirds, and of "Unanswerable" nothing
    assert means(tmp_path) == {"theirs": official, "Last": 50.0}  # our own is read as "unanswerable"


def test_an_import_that_is_scored_again_is_not_read_as_a_method_of_our_own(
    run, folder, tmp_path, qasper, monkeypatch
):
    run("Last", **qasper)
    f1 = metrics.METRICS["qa_f1"]
    halved = metrics.Metric(lambda *given: f1.score(*given) / 2, "9")
    monkeypatch.setitem(metrics.METRICS, "qa_f1", halved)
    del qasper["import-predictions"]  # the run that scores it again need not import it
    run("Last", **qasper)
    assert {row.metric for row in read_records(tmp_path / "run")} == {"qa_f1@9"}
    assert means(tmp_path) == {"theirs": 16.67, "Last": 25.0}


def test_predictions_that_were_scored_by_older_rules_are_taken_again(run, tmp_path, qasper, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr("comparison.imports.RULES", 1)
        assert run("Last", **qasper).answered == 12
    assert run("Last", **qasper).answered == 6
    assert run("Last", **qasper).answered == 0
    assert len(read_records(tmp_path / "run")) == 12


def test_an_import_may_be_the_baseline_and_must_fit_a_task(run, folder):
    write(folder, predictions(), name="other.jsonl")
    with pytest.raises(ValueError, match=r"theirs: .* has none of words.jsonl"):
        run("Last", **{"import-predictions": [f"theirs={folder}"]})
    write(folder, predictions())
    run("Last", baseline="theirs", **{"import-predictions": [f"theirs={folder}"]})
