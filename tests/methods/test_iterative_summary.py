"""Reading chunk by chunk with notes that are carried along."""

from __future__ import annotations

from dataclasses import replace

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


def test_notes_are_asked_for_within_their_room_and_the_answer_within_the_tasks(scripted, monkeypatch):
    engine, rooms = scripted(say=collect), []
    monkeypatch.setattr(engine, "generate", lambda ids, room, *, stop: rooms.append((room, stop)) or "a0")
    IterativeSummary(engine, summary_tokens=33).answer(CONTEXT, "who ?", task=TASK)
    assert rooms == [(33, ("\n\n",))] * 3 + [(8, TASK.stop)]


@pytest.mark.parametrize("chat", [True, False])
def test_notes_are_asked_for_in_a_chat_turn_where_the_task_is(scripted, monkeypatch, chat):
    engine, asked = scripted(say=collect), []
    monkeypatch.setattr(
        engine, "encode", lambda text, chat=False: asked.append(chat) or type(engine).encode(engine, text)
    )
    IterativeSummary(engine).answer(CONTEXT, "who ?", task=replace(TASK, chat=chat))
    assert asked == [chat] * 4


def test_without_a_question_the_notes_are_for_the_tasks_own_instruction(scripted):
    engine = scripted(say=collect)
    task = replace(TASK, before="Find the broken function. ", after=" It is")
    IterativeSummary(engine).answer(CONTEXT, "", task=task)
    read = engine.of("generate")
    assert len(read) == 4
    assert all("Question : Find the broken function . It is \n \n" in one for one in read[:3])


def test_without_any_words_of_the_task_the_notes_are_about_the_text(scripted):
    engine = scripted(say=collect)
    IterativeSummary(engine).answer(CONTEXT, "", task=replace(TASK, before="", after=" "))
    read = engine.of("generate")
    assert all("Question : What is the text about ?" in one for one in read[:3])
    assert "What is the text about" not in read[3]


def test_the_notes_are_written_with_the_options_of_a_choice_in_view(scripted):
    engine = scripted(say=collect)
    task = replace(TASK, after=" Ask: {question} One of {options} Reply:", slots={"options": "red blue"})
    IterativeSummary(engine).answer(CONTEXT, "which ?", task=task)
    read = engine.of("generate")
    assert all("Ask : which ? One of red blue Reply" in one for one in read)
    assert len(read) == 4


def test_a_question_that_is_the_whole_of_it_stands_alone_over_the_notes(scripted):
    engine = scripted(say=collect)
    IterativeSummary(engine).answer(CONTEXT, "who ?", task=TASK)
    assert all("Question : who ? \n \n" in one for one in engine.of("generate")[:3])


def test_a_chunk_that_a_window_cuts_marks_the_answer(scripted):
    """The notes' prompt is long, the answer's short."""
    for window, cut in ((400, False), (80, True)):
        engine = scripted(say=collect, window=window)
        assert IterativeSummary(engine, summary_tokens=100).answer(CONTEXT, "q", task=TASK).truncated == cut


def test_notes_that_a_window_cuts_before_the_answer_mark_it(scripted):
    """The notes' prompts are short, the answer's long."""
    for words, cut in ((1, False), (383, True)):
        engine = scripted(say=collect, window=400)
        task = replace(TASK, before="x " * words)
        assert IterativeSummary(engine, summary_tokens=100).answer(CONTEXT, "q", task=task).truncated == cut


@pytest.mark.parametrize(("clause", "carried"), [("oprm", False), ("none", False), ("all", True)])
def test_only_the_answers_prompt_can_carry_the_clause(scripted, clause, carried):
    engine = scripted(say=collect)
    task = replace(TASK, after=" Ask: {question}{clause} Reply:", no_answer_clause=" else none")
    IterativeSummary(engine, clause=clause).answer(CONTEXT, "who ?", task=task)
    assert ["else none" in one for one in engine.of("generate")] == [False, False, False, carried]


def test_notes_without_room_are_refused(scripted):
    with pytest.raises(ValueError, match="summary_tokens=0"):
        IterativeSummary(scripted(), summary_tokens=0)
    with pytest.raises(ValueError, match=r"clause.*oprm or all or none"):
        IterativeSummary(scripted(), clause="some")
