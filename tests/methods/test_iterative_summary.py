"""Reading chunk by chunk with notes that are carried along."""

from __future__ import annotations

import pytest

from benchmarks.base import Task
from methods.full import Full
from methods.iterative_summary import IterativeSummary

TASK = Task("t", "Read: ", " Ask: {question} Reply:", "value", 8)
CONTEXT = "a0 x x x b0 x x x c0 x"  # chunks a, b, c


def collect(text: str) -> str:
    """Notes of the letters seen so far; the answer is what the notes hold."""
    if text.startswith("<s> <user> Read the") or "New notes" in text:
        return " ".join(word for word in text.split() if word.endswith("0"))
    return "answer from " + text


def test_notes_grow_from_chunk_to_chunk_and_alone_are_read_for_the_answer(scripted):
    engine = scripted(say=collect)
    answer = IterativeSummary(engine).answer(CONTEXT, "who ?", task=TASK)
    read = engine.of("generate")
    assert len(read) == 4
    assert ["a0" in one for one in read] == [True] * 4
    assert "Notes so far" not in read[0]
    assert "Notes so far : a0 b0" in read[2]
    assert all("who ?" in one for one in read)
    assert answer.details["notes"] == "a0 b0 c0"
    assert answer.text == "answer from Read : a0 b0 c0 Ask : who ? Reply :"
    assert answer.details["chunks"] == 3
    assert answer.details["picked"] == [0, 1, 2]


def test_a_chunk_that_yields_no_notes_leaves_those_that_were_written(scripted):
    engine = scripted(say=lambda text: "" if "b0 x x x" in text else collect(text))
    assert IterativeSummary(engine).answer(CONTEXT, "who ?", task=TASK).details["notes"] == "a0 c0"


def test_a_single_chunk_is_read_as_the_full_context(scripted):
    engine = scripted(say=collect)
    answer = IterativeSummary(engine, chunk_size=50).answer(CONTEXT, "who ?", task=TASK)
    assert answer.text == Full(scripted(say=collect)).answer(CONTEXT, "who ?", task=TASK).text
    assert answer.details["flags"] == ["single_chunk"]
    assert len(engine.of("generate")) == 1


def test_notes_without_room_are_refused(scripted):
    with pytest.raises(ValueError, match="summary_tokens=0"):
        IterativeSummary(scripted(), summary_tokens=0)
