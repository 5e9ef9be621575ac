"""The words and sentences of the synthetic sets: ``python -m pytest tests/benchmarks/test_english.py``."""

from __future__ import annotations

import random
import re
from itertools import combinations

from benchmarks import english
from benchmarks.multihop import multihop
from benchmarks.needle import needle
from benchmarks.recall import recall

LISTS = {name: getattr(english, name) for name in ("NAMES", "CITIES", "FIELDS", "JOBS")}
FILLING = (english.VERBS, english.ADJECTIVES, english.NOUNS)


def lowered(words: tuple[str, ...]) -> set[str]:
    return {word.lower() for word in words}


def test_no_list_names_a_word_twice():
    for words in (*LISTS.values(), *FILLING):
        assert len(lowered(words)) == len(words)


def test_people_places_fields_and_jobs_share_no_word_with_each_other_or_the_filler():
    for one, other in combinations((*LISTS.values(), *FILLING), 2):
        assert not lowered(one) & lowered(other)


def test_no_value_is_a_word_of_a_template():
    templates = (english.INSTRUCTION, english.QUESTION, english.ASK_WORKS, english.ASK_OFFICE_OF_BOSS)
    templates += (english.OFFICE, english.WORKS, english.CALLED, english.BOSS)
    templates += english.PLAIN_FILLERS + english.PERSON_FILLERS
    written = set(re.findall(r"\w+", " ".join(templates).lower()))
    assert not written & set().union(*map(lowered, LISTS.values()))


def test_there_are_enough_jobs_and_names_that_an_absent_one_is_always_left():
    assert len(english.JOBS) >= 200
    assert len(english.NAMES) >= 400
    assert all(word.isalpha() for words in LISTS.values() for word in words)


def test_every_word_of_every_prompt_is_in_the_vocabulary(words, examples):
    known = set(english.vocabulary())
    for task_sets in (
        recall(words, samples=10),
        needle(words, facts=5, samples=2),
        multihop(words, persons=20, hops=(1, 2, 3), samples=10),
    ):
        for task_set in task_sets:
            for example in task_set.examples:
                prompt = task_set.task.prompt(example.context, example.question)
                said = [prompt, *example.answers, *example.choices]
                assert set(re.findall(r"\w+|[^\w\s]", " ".join(said).lower())) <= known


def test_a_filler_is_a_whole_sentence_that_names_its_person_and_no_other():
    rng = random.Random(0)
    for index in range(300):
        person = english.NAMES[index] if index % 2 else None
        sentence = english.filler(rng, person=person)
        assert re.fullmatch(r"[A-Z][A-Za-z ]+\.", sentence)
        assert [word for word in re.findall(r"\w+", sentence) if word in english.NAMES] == [person] * (
            index % 2
        )
