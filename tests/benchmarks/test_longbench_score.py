"""Scores of predictions on LongBench: ``python -m pytest tests/benchmarks/test_longbench_score.py``."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from benchmarks.longbench.__main__ import main
from benchmarks.longbench.score import (
    ScoredRow,
    average_categories,
    average_tasks,
    bucket_scores,
    score_folder,
    score_task,
    task_score,
)

DATA = Path(__file__).parents[3] / "shared" / "data"
SETS = [(name, code) for name in ("", "_e") for code in ("difflib", "levenshtein")]


def row(pred="Denver", answers=("Denver",), length=100, classes=None):
    return {"pred": pred, "answers": list(answers), "all_classes": classes, "length": length}


def write(folder, task, rows):
    lines = [one if isinstance(one, str) else json.dumps(one) for one in rows]
    (folder / f"{task}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.skipif(not DATA.exists(), reason="the published predictions are not there")
@pytest.mark.parametrize(("kind", "code"), SETS)
def test_published_predictions_have_the_official_scores_by_row_and_by_task(kind, code):
    if code == "levenshtein":
        pytest.importorskip("rapidfuzz")
    folder, e = DATA / f"longbench_predictions{kind}", kind == "_e"
    official = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    result, _ = score_folder(folder, e=e, code_similarity=code)
    assert result["n"] == {name: there["n"] for name, there in official.items()}
    assert result["tasks"].keys() == official.keys()
    for name, there in official.items():
        there = there.get(code, there)
        rows = score_task(name, folder / f"{name}.jsonl", [], e=e, code_similarity=code)
        assert [one.score for one in rows] == there["rows"], name
        assert result["tasks"][name] == there["buckets" if e else "score"], name


def test_the_printed_json_has_the_named_parts(tmp_path, capsys):
    write(tmp_path, "hotpotqa", [row(), row("Boston")])
    write(tmp_path, "lcc", [row("x = 1", ["x = 1"])])
    assert main(["score", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "tasks": {"hotpotqa": 50.0, "lcc": 100.0},
        "average_tasks": 75.0,
        "average_categories": 75.0,
        "code_similarity": "difflib",
        "n": {"hotpotqa": 2, "lcc": 1},
    }


def test_buckets_go_by_the_stored_length_and_an_empty_one_is_null(tmp_path, capsys):
    write(tmp_path, "qasper", [row(length=3999), row("Boston", length=4000)])
    assert main(["score", str(tmp_path), "--e"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["tasks"] == {"qasper": {"0-4k": 100.0, "4-8k": 0.0, "8k+": None}}
    assert result["average_tasks"] == result["average_categories"] == result["tasks"]["qasper"]


def test_files_of_the_e_set_may_be_called_as_its_tasks_are_here(tmp_path):
    write(tmp_path, "hotpotqa_e", [row()])
    write(tmp_path, "qasper", [row("Boston")])
    result, notes = score_folder(tmp_path, e=True)
    assert {name: there["0-4k"] for name, there in result["tasks"].items()} == {
        "qasper": 0.0,
        "hotpotqa": 100.0,
    }
    assert notes == []
    write(tmp_path, "hotpotqa", [row("Boston")])
    result, notes = score_folder(tmp_path, e=True)
    assert result["tasks"]["hotpotqa"]["0-4k"] == 100.0
    assert notes == [f"{tmp_path / 'hotpotqa.jsonl'}: hotpotqa_e.jsonl is there too; file left out"]
    result, notes = score_folder(tmp_path)
    assert result["tasks"]["hotpotqa"] == 0.0
    assert "unknown LongBench task 'hotpotqa_e'" in notes[0]


def test_only_few_shot_tasks_are_cut_to_their_first_line(tmp_path):
    text = "\n\nDenver\nBoston"
    for name in ("triviaqa", "hotpotqa"):
        write(tmp_path, name, [row(text)])
    assert score_folder(tmp_path)[0]["tasks"] == {"hotpotqa": 66.67, "triviaqa": 100.0}
    write(tmp_path, "triviaqa", [row(" \nDenver")])
    assert score_folder(tmp_path)[0]["tasks"]["triviaqa"] == 0.0


def test_bad_rows_are_named_by_line_and_count_nothing(tmp_path):
    rows = [
        row(),
        '{"pred": "De',
        row(pred=None),
        row(answers=()),
        row() | {"answers": "Denver"},
        '["x"]',
        "",
        row(),
        row() | {"answers": [None]},
    ]
    write(tmp_path, "hotpotqa", rows)
    result, notes = score_folder(tmp_path)
    assert result["tasks"] == {"hotpotqa": 100.0}
    assert result["n"] == {"hotpotqa": 2}
    text = "\n".join(notes)
    for line, why in (
        (2, "not a whole JSON"),
        (3, "pred is null"),
        (4, "answers is an empty"),
        (5, "answers is of type str"),
        (9, "answers is a list that holds a NoneType"),
    ):
        assert any(f"hotpotqa.jsonl:{line}: {why}" in note for note in notes), text
    assert "6 rows left out, 2 scored" in text


def test_a_gold_answer_that_the_metric_cannot_read_leaves_its_row_out(tmp_path):
    write(tmp_path, "passage_retrieval_en", [row("1", ["Paragraph 1"]), row("1", ["one"])])
    result, notes = score_folder(tmp_path)
    assert result["n"] == {"passage_retrieval_en": 1}
    assert "passage_retrieval_en.jsonl:2: the answer 'one' names no paragraph" in notes[0]


def test_labels_and_lengths_are_asked_for_where_they_are_needed(tmp_path):
    write(tmp_path, "trec", [row(), row("Food", ["Food"], classes=["Food"])])
    write(tmp_path, "qasper", [row(length=None)])
    result, notes = score_folder(tmp_path, e=True)
    assert result["n"] == {"qasper": 0, "trec": 1}
    assert result["tasks"]["qasper"] == {"0-4k": None, "4-8k": None, "8k+": None}
    assert any("trec.jsonl:1: all_classes is null" in note for note in notes)
    assert any("qasper.jsonl:1: length is null" in note for note in notes)


def test_empty_predictions_score_zero_and_are_counted(tmp_path):
    write(tmp_path, "hotpotqa", [row(), row(""), row(" \n")])
    result, notes = score_folder(tmp_path)
    assert result["tasks"] == {"hotpotqa": 33.33}
    assert notes == [f"{tmp_path / 'hotpotqa.jsonl'}: 2 empty predictions, scored 0, on lines 2, 3"]


def test_an_unknown_task_is_named_and_a_folder_without_any_is_an_error(tmp_path, capsys):
    write(tmp_path, "hotpot", [row()])
    assert main(["score", str(tmp_path)]) == 2
    assert re.search(
        r"holds no predictions: .*; .*hotpot\.jsonl: unknown LongBench task 'hotpot': did you mean hotpotqa",
        capsys.readouterr().err,
    )
    write(tmp_path, "hotpotqa", [row()])
    assert main(["score", str(tmp_path)]) == 0
    assert "unknown LongBench task 'hotpot': did you mean hotpotqa?; file left out" in capsys.readouterr().err


def test_a_folder_that_is_not_there_and_a_file_without_rows_are_said(tmp_path, capsys):
    assert main(["score", str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith("a file <task>.jsonl, such as hotpotqa.jsonl\n")
    assert main(["score", str(tmp_path / "none")]) == 2
    assert (
        capsys.readouterr().err
        == f"python -m benchmarks.longbench: error: {tmp_path / 'none'} is no folder: name one of <task>.jsonl files\n"
    )
    (tmp_path / "samsum.jsonl").write_text("")
    assert main(["score", str(tmp_path)]) == 2
    assert re.match(
        r".*: error: .* holds no row that can be scored; .*samsum.jsonl: the file holds no rows\n$",
        capsys.readouterr().err,
    )
    write(tmp_path, "qasper", [row()])
    result, notes = score_folder(tmp_path)
    assert result["tasks"]["samsum"] is None
    assert notes == [f"{tmp_path / 'samsum.jsonl'}: the file holds no rows"]


def test_a_length_that_is_no_number_is_in_no_bucket(tmp_path):
    text = '{"pred": "x", "answers": ["x"], "all_classes": null, "length": NaN}\n'
    (tmp_path / "qasper.jsonl").write_text(text + text.replace("NaN", "true") + text.replace("NaN", "4000"))
    result, notes = score_folder(tmp_path, e=True)
    assert result["n"] == {"qasper": 1}
    assert "qasper.jsonl:1: length" in notes[0]
    assert "qasper.jsonl:2: length" in notes[1]


def test_another_s_answer_is_not_read_as_the_no_answer_word(tmp_path):
    write(tmp_path, "qasper", [row("Error rate", ["error rate"]), row("Error", ["unanswerable"])])
    assert score_folder(tmp_path)[0]["tasks"] == {"qasper": 50.0}


def test_halves_are_rounded_as_in_the_official_code():
    """Python's own rounding of the plain score, numpy's of a bucket: 100 * 0.02675 is 2.675 to both."""
    value = 0.02675
    assert task_score([ScoredRow(value, "")]) == 2.67
    assert bucket_scores([ScoredRow(value, "0-4k")])["0-4k"] == 2.68
    ties = [0.63] + [0.0] * 7
    assert bucket_scores([ScoredRow(one, "8k+") for one in ties])["8k+"] == 7.88
    ties = [0.37] + [0.0] * 7
    assert bucket_scores([ScoredRow(one, "8k+") for one in ties])["8k+"] == 4.62


def test_the_official_average_is_over_the_english_categories():
    scores = {"narrativeqa": 10.0, "qasper": 20.0, "musique": 45.0, "vcsum": 99.0, "lcc": None}
    assert average_categories(scores) == 30.0
    assert average_tasks(scores) == 43.5
    assert average_categories({"vcsum": 10.0, "lsht": 20.0}) == 15.0
    assert average_tasks({"lcc": None}) is None
    assert average_tasks({"narrativeqa": 10.0, "qasper": 10.0, "multifieldqa_en": 10.02}) == 10.01


def test_the_average_over_categories_is_rounded_once_at_its_end():
    single = {"narrativeqa": 10.0, "qasper": 10.0, "multifieldqa_en": 10.02}  # 10.00667 on average
    several = {"hotpotqa": 10.0, "2wikimqa": 10.0, "musique": 10.02}
    assert average_categories({**single, **several, "lcc": 10.0}) == 10.0


def test_a_package_that_a_metric_lacks_is_said_and_no_row_is_left_out(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    write(tmp_path, "lcc", [row("x = 1", ["x = 2"])])
    write(tmp_path, "qasper", [row()])
    assert main(["score", str(tmp_path), "--code-similarity", "levenshtein"]) == 2
    assert "pip install rapidfuzz" in capsys.readouterr().err


def test_the_program_without_its_command_is_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    assert "python -m benchmarks.longbench: error: " in capsys.readouterr().err
