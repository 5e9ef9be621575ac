"""HotpotQA's own evaluation: ``python -m pytest tests/benchmarks/test_hotpotqa_score.py``."""

from __future__ import annotations

import json

import pytest

from benchmarks.hotpotqa.__main__ import main
from benchmarks.hotpotqa.score import score_files

GOLD = [
    {"_id": "a", "answer": "yes", "supporting_facts": [["T", 0], ["U", 1]]},
    {"_id": "b", "answer": "the red cat", "supporting_facts": [["T", 0], ["U", 1]]},
]


def files(folder, gold, said):
    (folder / "gold.json").write_text(gold if isinstance(gold, str) else json.dumps(gold), encoding="utf-8")
    (folder / "said.json").write_text(said if isinstance(said, str) else json.dumps(said), encoding="utf-8")
    return folder / "gold.json", folder / "said.json"


def test_answers_support_and_both_jointly(tmp_path):
    said = {
        "answer": {"a": "Yes.", "b": "red dog"},
        "sp": {"a": [["T", 0], ["U", 1]], "b": [["T", 0], ["t", 0]]},
    }
    result, notes = score_files(*files(tmp_path, GOLD, said))
    assert notes == []
    assert result == pytest.approx(
        {"em": 0.5, "f1": 0.75, "prec": 0.75, "recall": 0.75}
        | {"sp_em": 0.5, "sp_f1": 0.75, "sp_prec": 0.75, "sp_recall": 0.75}
        | {"joint_em": 0.5, "joint_f1": 0.625, "joint_prec": 0.625, "joint_recall": 0.625, "n": 2}
    )


def test_a_mark_of_the_byte_order_is_passed_over(tmp_path):
    gold, said = files(tmp_path, "\ufeff" + json.dumps(GOLD), "\ufeff" + json.dumps({"answer": {"a": "yes"}}))
    assert score_files(gold, said)[0]["em"] == 0.5
    gold.write_text("\ufeff" + "\n".join(map(json.dumps, GOLD)), encoding="utf-8")
    assert score_files(gold, said)[0]["n"] == 2


def test_what_is_missing_counts_zero_and_the_divisor_stays(tmp_path):
    said = {"answer": {"a": "yes", "z": "x"}, "sp": {"b": [["T", 0], ["U", 1]]}}
    result, notes = score_files(*files(tmp_path, GOLD, said))
    assert (result["em"], result["sp_em"], result["joint_em"], result["n"]) == (0.5, 0.5, 0.0, 2)
    assert len(notes) == 2
    assert "row 2: no answer to b" in notes[1]


@pytest.mark.parametrize("lacks", ["_id", "answer", "supporting_facts"])
def test_a_gold_row_that_cannot_be_read_is_noted_and_no_part_of_the_mean(tmp_path, lacks):
    bad = {name: value for name, value in GOLD[0].items() if name != lacks}
    said = {"answer": {"b": "red cat"}, "sp": {"b": [["T", 0], ["U", 1]]}}
    gold, predictions = files(tmp_path, [bad, GOLD[1], ["x"]], said)
    result, notes = score_files(gold, predictions)
    assert (result["n"], result["em"], result["joint_em"]) == (1, 1.0, 1.0)
    assert notes == [
        f"{gold} row 1: expected _id, answer and supporting_facts; row left out",
        f"{gold} row 3: not an object; row left out",
    ]


@pytest.mark.parametrize(("facts", "exact"), [([], 1.0), ([["T", 0]], 0.0)])
def test_a_question_without_gold_facts_has_no_recall_and_is_matched_by_none(tmp_path, facts, exact):
    gold = [{"_id": "a", "answer": "yes", "supporting_facts": []}]
    result, notes = score_files(*files(tmp_path, gold, {"answer": {"a": "yes"}, "sp": {"a": facts}}))
    assert (result["sp_em"], result["joint_em"]) == (exact, exact)
    assert [result[f"sp_{name}"] for name in ("f1", "prec", "recall")] == [0.0, 0.0, 0.0]
    assert notes == []


def test_without_support_there_are_the_answers_scores_alone(tmp_path, capsys):
    gold, said = files(
        tmp_path, "\n".join(map(json.dumps, GOLD)) + '\n{"_id"', {"answer": {"a": "no", "b": "cat"}}
    )
    assert main(["score", "--gold", str(gold), "--predictions", str(said)]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == pytest.approx(
        {"em": 0, "f1": 1 / 3, "prec": 0.5, "recall": 0.25, "n": 2}
    )
    assert "gold.json:3: not a whole JSON object; row left out" in printed.err


@pytest.mark.parametrize(
    ("gold", "said", "why"),
    [
        (GOLD, '{"answer": {', "said.json:1: not whole JSON"),
        (GOLD, {"a": "yes"}, "holds no predictions: expected"),
        (GOLD, {"answer": ["yes"]}, "holds no predictions: expected"),
        ([], {"answer": {}}, "holds no question"),
        ([{"_id": "a"}], {"answer": {}}, "holds no question"),
    ],
)
def test_files_that_hold_nothing_to_score_are_one_line(tmp_path, capsys, gold, said, why):
    gold, said = files(tmp_path, gold, said)
    assert main(["score", "--gold", str(gold), "--predictions", str(said)]) == 2
    assert why in capsys.readouterr().err
    assert main(["score", "--gold", str(tmp_path / "none"), "--predictions", str(said)]) == 2
