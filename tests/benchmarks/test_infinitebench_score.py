"""Scores and wordings of InfiniteBench: ``python -m pytest tests/benchmarks/test_infinitebench_score.py``."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest

from benchmarks.infinitebench import infinitebench
from benchmarks.infinitebench.__main__ import main
from benchmarks.infinitebench.score import score_file
from benchmarks.infinitebench.templates import TASKS, TEMPLATES, answers, slots, task
from benchmarks.metrics import METRICS


def write(path, rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in rows), "utf-8"
    )
    return path


@pytest.mark.parametrize(
    ("name", "label", "prediction"),
    [
        ("passkey", "123", "123"),
        ("code_run", 12, "it is 12"),
        ("math_find", 3.5, "3.5"),
        ("math_calc", [1, 2], "[1, 2]"),
        ("math_calc", [[1, 2]], "[1, 2]"),
        ("code_debug", ["foo", "C"], "C. foo"),
        ("longbook_choice_eng", ["in town", "D"], "D"),
        ("longdialogue_qa_eng", ["LEE"], "Lee"),
    ],
)
def test_labels_of_every_published_type_are_read(tmp_path, name, label, prediction):
    path = write(
        tmp_path / "preds.jsonl",
        [{"ground_truth": label, "prediction": prediction}, {"label": label, "pred": "?"}],
    )
    result, notes = score_file(name, path)
    assert result == {"task": name, "score": 50.0, "metric": f"infinitebench_{name}", "n": 2}
    assert notes == []


def test_gpt4_s_first_value_is_dropped_by_the_folder_s_name(tmp_path):
    rows = [{"ground_truth": [4, 8, 6], "prediction": "1, 4, 9, 6"}]
    assert score_file("math_calc", write(tmp_path / "gpt4" / "p.jsonl", rows))[0]["score"] == 33.33
    others = write(tmp_path / "gpt4" / "q.jsonl", [{"ground_truth": "1", "prediction": "1, 4"}])
    assert score_file("passkey", others)[0]["metric"] == "infinitebench_passkey"
    result = score_file("math_calc", write(tmp_path / "kimi" / "p.jsonl", rows))[0]
    assert (result["score"], result["metric"]) == (0.0, "infinitebench_math_calc")


def test_bad_rows_are_named_by_line_and_count_nothing(tmp_path, capsys):
    good = {"ground_truth": "12", "prediction": "12"}
    rows = [
        good,
        '{"ground',
        {"ground_truth": "12"},
        good | {"prediction": 5},
        good | {"ground_truth": None, "prediction": " "},
        good | {"prediction": ""},
    ]
    path = write(tmp_path / "p.jsonl", rows)
    assert main(["score", "--task", "passkey", str(path)]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {
        "task": "passkey",
        "score": 50.0,
        "metric": "infinitebench_passkey",
        "n": 2,
    }
    for line, why in (
        (2, "not a whole"),
        (3, "the row lacks prediction"),
        (4, "prediction is of type int"),
        (5, "the answer is null"),
    ):
        assert f"p.jsonl:{line}: " in printed.err
        assert why in printed.err
    assert "4 rows left out, 2 scored" in printed.err
    assert "1 empty predictions on lines 6" in printed.err


def test_a_package_that_a_metric_lacks_is_said_and_no_row_is_left_out(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    path = write(tmp_path / "p.jsonl", [{"ground_truth": ["a"], "prediction": "a"}])
    assert main(["score", "--task", "longbook_sum_eng", str(path)]) == 2
    said = capsys.readouterr().err
    assert "error: longbook_sum_eng is scored with the package rouge-score" in said


def test_an_unknown_task_and_an_empty_file_are_one_line(tmp_path, capsys):
    path = write(tmp_path / "p.jsonl", [])
    assert main(["score", "--task", "pass_key", str(path)]) == 2
    assert "unknown InfiniteBench task 'pass_key': did you mean passkey?" in capsys.readouterr().err
    with pytest.raises(ValueError, match="unknown InfiniteBench task 'pass_key': did you mean passkey"):
        list(infinitebench(len, data_dir=tmp_path, tasks=("pass_key",)))
    with pytest.raises(ValueError, match="unknown InfiniteBench task 'x': use one of passkey, number_string"):
        task("x")
    assert main(["score", "--task", "passkey", str(path)]) == 2
    assert "holds no row of passkey" in capsys.readouterr().err


ROW = {
    "input": "The return value of func_3(-7). The largest number?",
    "options": ["w", "x", "y", "z"],
    "answer": ["y"],
}


@pytest.mark.parametrize("name", TASKS)
def test_every_wording_is_filled_and_scored(name):
    one = task(name)
    text = replace(one, slots=slots(name, ROW)).prompt("{context}", "why {input}?")
    expected = TEMPLATES[name].replace("{context}", "\0")
    for mark, value in {**slots(name, ROW), "question": "\1", "input": "\1"}.items():
        expected = expected.replace(f"{{{mark}}}", value)
    assert text == expected.replace("\0", "{context}").replace("\1", "why {input}?")
    assert one.metric in METRICS


def test_rows_give_their_slots_and_answers():
    assert slots("code_run", ROW) == {"func": "func_3", "func_call": "func_3(-7)"}
    largest = {"input": "Only a number. The largest number of the list is: "}
    assert slots("math_find", largest) == {"prefix": "What is the largest number in the following list?"}
    assert answers("code_debug", ROW["answer"], ROW["options"]) == ("y", "C")
    assert answers("math_calc", [1, 2], None) == ("1", "2")
    for name, row in (("code_debug", {"options": ["w"]}), ("code_run", {}), ("math_find", {})):
        with pytest.raises(ValueError, match=name):
            slots(name, row)
    with pytest.raises(ValueError, match="none of the options"):
        answers("code_debug", "q", ROW["options"])
