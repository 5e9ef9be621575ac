"""The model card's table: bars, intervals, spread and differences from counts, and where it is put."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

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
    with pytest.raises(ValueError, match="lacks the lines"):
        evaluate.write(card, "new\n")
    assert card.read_text() == "no marks"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("nosuchmodel", "unknown reader 'nosuchmodel'"),
        ("tiny nosuchmodel", "unknown reader 'nosuchmodel'"),
        ("--samples 9", "--samples 9: expected at least 10"),
        ("--write card.md", "card.md lacks the lines"),
        ("--write absent.md", "absent.md: No such file"),
    ],
)
def test_what_is_wrong_is_one_line_before_anything_is_measured(
    arguments: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(evaluate, "measured", None)
    monkeypatch.chdir(tmp_path)
    Path("card.md").write_text("no marks")
    assert evaluate.main(arguments.split()) == 2
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1


class Judged:
    """A reader that is asked for letters: `prefers` gets both passages and the question, and names the letter."""

    def __init__(self, prefers: Callable[[str, str, str], int]) -> None:
        self.prefers, self.prompts = prefers, list[str]()

    def count_tokens(self, text: str) -> int:
        return len(re.findall(r"\w+|[^\w\s]", text))

    def encode(self, text: str) -> list[int]:
        """A letter's id, or the number of a prompt."""
        if text in evaluate.LABELS:
            return [evaluate.LABELS.index(text)]
        self.prompts.append(text)
        return [len(self.prompts) - 1]

    def prefill(self, rows: list[list[int]]) -> Any:
        [[number]] = rows
        logits = torch.zeros(1, 1, len(evaluate.LABELS))
        logits[0, 0, self.prefers(*self.prompts[number].split("|"))] = 1.0
        return SimpleNamespace(logits=logits)


def holds(passage: str, question: str) -> bool:
    """Whether the passage has the fact, read from the question alone."""
    name = question.removesuffix("?").split()[-1]
    fact = f"The office of {name} is in " if "office" in question else f"{name} works in "
    return fact in passage


@pytest.fixture
def bare_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "pair_prompt", lambda *parts: "|".join(parts))


@pytest.mark.usefixtures("bare_pairs")
def test_a_pair_counts_where_the_passage_with_the_fact_is_named_in_both_orders() -> None:
    def hits(prefers: Callable[[str, str, str], int]) -> int:
        engine: Any = Judged(prefers)
        return evaluate.judge_pairs(engine, 500, 20).hits

    assert hits(lambda a, b, question: 0 if holds(a, question) else 1) == 20
    assert hits(lambda a, b, question: 1 if holds(a, question) else 0) == 0
    assert [hits(lambda *_, letter=letter: letter) for letter in (0, 1)] == [0, 0]


@pytest.mark.usefixtures("bare_pairs")
def test_of_the_two_passages_exactly_one_holds_what_is_asked() -> None:
    engine: Any = Judged(lambda *_: 0)
    evaluate.judge_pairs(engine, 500, 100)
    assert len(engine.prompts) == 200
    for a, b, question in (prompt.split("|") for prompt in engine.prompts):
        assert holds(a, question) != holds(b, question)
