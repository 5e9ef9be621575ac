"""One question and what every method made of it, in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fake_run import SMALL, Row, change_examples

from reports.__main__ import main
from reports.collect import ReportError, read_run
from reports.examples import example_text, examples, find_examples, picked_text

GOLD = "The office of Alden is in Paris."


def with_text(folder: Path) -> Path:
    """Give the first example of recall its evidence in words: 300 characters either side, as runs keep it."""
    kept = {"evidence": [[100, 100 + len(GOLD)]], "around": ["b" * 100 + GOLD + "a" * 300]}
    path = folder / "examples" / "recall.jsonl"
    change_examples(path, lambda row: row | (kept if row["id"] == "recall-0000" else {}))
    return folder


def edit(row: Row) -> Row:
    first = row["example"] == "recall-0000"
    if first and row["method"] == "oprm":
        return row | {
            "prediction": "Rome \x1b[2J",
            "score": 0.0,
            "details": {"picked": [2], "entropies": [0.5]},
        }
    if first and row["method"] == "closed_book":
        return row | {"error": "RuntimeError: broken", "score": 0.0}
    return row


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_text(replace(SMALL, edit=edit).write(tmp_path_factory.mktemp("examples") / "run"))


def test_the_terminal_shows_the_question_the_evidence_and_every_answer(folder, capsys):
    assert main(["show", str(folder), "--example", "recall-0000"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("recall · recall-0000 · bucket 10\n  question  Where is the office of Alden?\n")
    assert f">>>{GOLD}<<<" in " ".join(out.split())
    assert "full (baseline): " in out
    assert "oprm: 0.0 points\n  said      Rome �[2J" in out
    assert '  details   {"picked": [2], "entropies": [0.5]}' in out
    assert "  error     RuntimeError: broken" in out
    assert "\x1b" not in out


def test_an_id_that_is_not_there_is_refused_with_the_nearest_ones(folder, capsys):
    assert main(["show", str(folder), "--example", "recall-000"]) == 2
    assert "did you mean recall-00" in capsys.readouterr().err
    with pytest.raises(ReportError, match="an id looks like"):
        find_examples(read_run(folder), "§§§")


def test_the_evidence_is_cut_out_of_the_text_about_it(folder):
    (shown,) = find_examples(read_run(folder), "recall-0000")
    assert shown.evidence == (("b" * 100, GOLD, "a" * 300),)


def test_an_example_holds_the_answers_in_the_order_of_the_methods_and_their_spread(folder):
    run = read_run(folder)
    first = next(iter(examples(run, "recall")))
    assert [said.method for said in first.said] == [method.label for method in run.methods]
    assert first.spread == 1.0


@pytest.mark.parametrize(
    ("error", "failures", "score"),
    [("undefined: x", "zero", None), ("RuntimeError: x", "zero", 0.0), ("RuntimeError: x", "exclude", None)],
)
def test_an_answer_that_counts_in_no_mean_has_no_score_and_no_part_in_the_spread(
    tmp_path, error, failures, score
):
    def edit(row: Row) -> Row:
        return row | ({"error": error, "score": 0.0} if row["method"] == "oprm" else {"score": 1.0})

    run = read_run(replace(SMALL, edit=edit).write(tmp_path), failures)
    first = next(iter(examples(run, "recall")))
    assert {said.method: said.score for said in first.said}["oprm"] == score
    assert first.spread == (0.0 if score is None else 1.0)
    shown = "no score" if score is None else "0.0 points"
    assert f"oprm: {shown}\n  error     {error}\n" in example_text(run, first)


@pytest.mark.parametrize(
    ("spans", "gold", "expected"),
    [
        ([], [(5, 9)], "nothing"),
        ([(0, 1000)], [], "characters 0–1,000"),
        ([(0, 1000)], [(5, 9)], "characters 0–1,000: holds the evidence"),
        ([(0, 10)], [(20, 29)], "characters 0–10: misses the evidence"),
        ([(0, 10), (40, 50)], [(5, 9), (20, 29)], "characters 0–10, 40–50: holds 50% of the evidence"),
        ([(0, 10)], [(5, 19)], "characters 0–10: misses the evidence, a border cuts it"),
    ],
)
def test_where_a_method_read_is_told_with_whether_the_evidence_is_there(spans, gold, expected):
    assert picked_text(spans, gold) == expected
