"""The embedded model's lessons, token by token: ``python -m pytest tests/benchmarks/test_lessons.py``."""

from __future__ import annotations

import random

import pytest

from benchmarks import curriculum, english
from benchmarks.base import digest
from benchmarks.lessons import IGNORE, Lesson, Teacher

PAIR = "Passage A : {a} Passage B : {b} Which is it : {question} Answer:"
END = 0


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    words = sorted({*english.vocabulary(), *PAIR.lower().replace("answer:", "answer").split()})
    return Teacher({word: number for number, word in enumerate(words, start=1)}, PAIR, END)


def told(teacher: Teacher, lesson: Lesson) -> list[str]:
    """The lesson's words."""
    names = {number: word for word, number in teacher.word_ids.items()} | {END: "<end>"}
    return [names[i] for i in lesson.ids]


def test_the_lessons_of_a_seed_stay_what_they_are_to_the_last_token(teacher):
    """Another digest means another training text, by which the embedded model cannot be trained again."""
    all_ladders = [*curriculum.ladders().values(), curriculum.facts_alone()]
    writers = [writer for ladder in all_ladders for writer in (*ladder.rungs, *ladder.finals)]
    made = (
        repr(curriculum.write_batch(teacher, writer, random.Random(place), 300))
        for place, writer in enumerate((*writers, *curriculum.POLISH_FACTS))
    )
    assert digest(*made) == "de105e74a4aa4904"


@pytest.mark.parametrize("facts", [1, 2])
def test_pairs_of_few_facts_are_never_cut(teacher, facts):
    """With one fact of two cut off, a passage would hold nothing to be asked."""
    for seed in range(40):
        words = told(teacher, teacher.pair_lesson(random.Random(seed), facts, 0, 2))
        for side in _passages(words):
            assert side.count(".") == facts
            assert side[-1] == "."


def test_longer_passages_of_a_pair_are_cut_now_and_then_at_either_end(teacher):
    sides = [
        side
        for seed in range(40)
        for side in _passages(told(teacher, teacher.pair_lesson(random.Random(seed), 4, 0, 2)))
    ]
    assert 10 < sum(side[-1] != "." for side in sides) < 40


def _passages(words: list[str]) -> tuple[list[str], list[str]]:
    """What stands in the places {a} and {b}."""
    second, asked = words.index("passage", 1), words.index("which", 1)
    return words[3:second], words[second + 3 : asked]


def test_an_answer_of_two_steps_is_spelled_out_with_its_link(teacher):
    lesson = teacher.hop_lesson(random.Random(3), 4, 0, 12)
    words = told(teacher, lesson)
    goals = " ".join(words[i + 1] for i, goal in enumerate(lesson.targets) if goal != IGNORE).split(" <end>")
    answers = [goal.split() for goal in goals]
    assert {len(answer) for answer in answers if answer} == {1, 4}
    assert all(answer[1:3] == ["is", "in"] for answer in answers if len(answer) == 4)
