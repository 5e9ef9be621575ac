"""The model card's table: bars, intervals, spread and differences from counts, and where it is put."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.base import Example
from models.tiny import evaluate
from models.tiny.evaluate import Cell


def cells(oprm: int, full: int) -> list[Cell]:
    pairs = [
        (Cell(f"{name}: OPRM", 0.9, oprm, 100), Cell(f"{name}: full", None, full, 100))
        for name, _ in evaluate.DIFFERENCES
    ]
    return [cell for pair in pairs for cell in pair]


def test_a_bar_is_reached_by_the_point_estimate_and_missed_below_it() -> None:
    assert "| 90.0 | 82.6 to 94.5 | 90 reached |" in evaluate.table(cells(90, 20), [])
    assert "| 90 missed |" in evaluate.table(cells(89, 20), [])


def test_the_difference_to_the_full_context_has_a_bar_of_its_own() -> None:
    lines = evaluate.table(cells(90, 45), []).splitlines()
    gaps = [line for line in lines if "OPRM minus full" in line]
    assert [line.split("|")[5].strip() for line in gaps] == ["40 reached", "50 missed", "50 missed"]


def test_the_spread_is_over_all_training_seeds() -> None:
    assert "| 85.0 to 90.0 |" in evaluate.table(cells(90, 20), [cells(85, 20)])


def test_the_worst_depth_is_the_one_that_counts() -> None:
    examples = [Example(f"e{i}", "text", "q", ("a",), 1, "b", tags={"depth": i % 2}) for i in range(4)]
    assert evaluate.worst_depth(examples, [1, 0, 1, 1]) == (1, 2)


def test_the_table_replaces_what_stands_between_the_marks_and_nothing_else(tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    card.write_text("before\n" + "\nold\n".join(evaluate.MARKS) + "\nafter\n")
    evaluate.write(card, "new\n")
    assert card.read_text() == "before\n" + "\nnew\n".join(evaluate.MARKS) + "\nafter\n"


def test_a_card_without_the_marks_is_left_alone(tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    card.write_text("no marks")
    with pytest.raises(SystemExit, match="lacks the lines"):
        evaluate.write(card, "new\n")
    assert card.read_text() == "no marks"
