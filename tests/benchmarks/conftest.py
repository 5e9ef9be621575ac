"""Token counters of three kinds, and a solver that needs no model."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from importlib import import_module

import pytest

from benchmarks import english
from benchmarks.base import Example, TaskSet


def count_words(text: str) -> int:
    return len(re.findall(r"\w+|[^\w\s]", text))


def count_characters(text: str) -> int:
    """Not additive over sentences: whole texts cost more than their parts."""
    return len(text) // 4 + len(text) // 97


@pytest.fixture(scope="session")
def count_pieces() -> Callable[[str], int]:
    """A byte-level byte-pair encoding of 1,200 pieces: many names and jobs take several."""
    ByteLevelBPETokenizer = import_module("tokenizers").ByteLevelBPETokenizer

    rng = random.Random(1)
    text = [english.filler(rng, person=rng.choice((None, "Ada", "Roy"))) for _ in range(2000)]
    tokenizer = ByteLevelBPETokenizer()
    lists = english.NAMES + english.JOBS + english.CITIES + english.FIELDS
    tokenizer.train_from_iterator([*text, english.INSTRUCTION, " ".join(lists)], vocab_size=1200)
    return lambda text: len(tokenizer.encode(text).ids)


@pytest.fixture(params=["words", "characters", "pieces"])
def any_counter(request: pytest.FixtureRequest, count_pieces: Callable[[str], int]) -> Callable[[str], int]:
    return {"words": count_words, "characters": count_characters, "pieces": count_pieces}[request.param]


@pytest.fixture
def words() -> Callable[[str], int]:
    return count_words


@pytest.fixture
def solve() -> Callable[[str, str], str]:
    """Answers a question from the text with regular expressions alone, or says Error."""

    def first(pattern: str, text: str) -> str:
        found = set(re.findall(pattern, text))
        assert len(found) <= 1, f"{pattern} has two answers"
        return found.pop() if found else "Error"

    def answer(context: str, question: str) -> str:
        if person := re.fullmatch(r"Which field employs (\w+)\?", question):
            return first(rf"\b{person[1]} works in (\w+)\.", context)
        asked = re.fullmatch(r"Where is the office of (the boss of )?(the )?(\w+)\?", question)
        assert asked, question
        person = first(rf"The {asked[3]} is called (\w+)\.", context) if asked[2] else asked[3]
        if asked[1]:
            person = first(rf"The boss of {person} is called (\w+)\.", context)
        return first(rf"The office of {person} is in (\w+)\.", context)

    return answer


@pytest.fixture
def examples() -> Callable[..., list[Example]]:
    """All examples of some task sets, or those of one task."""

    def collect(task_sets: list[TaskSet], task: str | None = None) -> list[Example]:
        return [e for task_set in task_sets if task in (None, task_set.task.name) for e in task_set.examples]

    return collect
