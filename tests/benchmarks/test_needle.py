"""The needle grid, its promises one by one: ``python -m pytest tests/benchmarks/test_needle.py``."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from benchmarks.needle import NEEDLE, needle

FACT = re.compile(r"The office of \w+ is in \w+\.|\w+ works in \w+\.")
GRID = {"lengths": (300, 1000), "depths": (0, 25, 50, 75, 100)}


def test_lengths_count_the_whole_prompt_needle_included(words, examples):
    for example in examples(needle(words, samples=2)):
        prompt = NEEDLE.prompt(example.context, example.question)
        assert words(prompt) == example.length == example.tags["length"] == int(example.bucket)


def test_other_readers_get_a_few_tokens_less_at_most_and_never_more(any_counter, examples):
    for example in examples(needle(any_counter, **GRID, facts=3, samples=3)):
        assert any_counter(NEEDLE.prompt(example.context, example.question)) == example.length
        assert 0 <= example.tags["length"] - example.length <= 10


def test_every_cell_of_the_grid_has_its_samples(words, examples):
    (task_set,) = needle(words, **GRID, samples=3)
    cells = Counter((example.tags["length"], example.tags["depth"]) for example in task_set.examples)
    assert cells == {(length, depth): 3 for length in GRID["lengths"] for depth in GRID["depths"]}
    assert task_set.task.name == "needle"
    assert task_set.confirmatory


@pytest.mark.parametrize("facts", [1, 6])
def test_the_needle_lies_between_whole_sentences_at_its_depth(words, examples, facts):
    for example in examples(needle(words, **GRID, facts=facts, samples=4)):
        ((start, end),) = example.evidence
        before, fact, after = example.context[:start], example.context[start:end], example.context[end:]
        assert FACT.fullmatch(fact)
        assert before == "" or before.endswith(". ")
        assert after == "" or after.startswith(" ")
        share = words(before) / (words(before) + words(after))
        sentence = 10 / words(example.context)
        assert abs(share - example.tags["depth"] / 100) <= sentence
        assert (before == "") == (example.tags["depth"] == 0)
        assert (after == "") == (example.tags["depth"] == 100)
        assert example.tags["token"] == words(NEEDLE.before + before)


@pytest.mark.parametrize("facts", [1, 6])
def test_the_haystack_holds_the_needles_and_filler_only(words, examples, solve, facts):
    for example in examples(needle(words, **GRID, facts=facts, samples=4)):
        assert len(FACT.findall(example.context)) == example.tags["facts"] == facts
        assert solve(example.context, example.question) == example.answers[0] in example.choices


def test_both_kinds_of_needle_occur(words, examples):
    asked = Counter(example.question.split()[0] for example in examples(needle(words, **GRID)))
    assert min(asked["Where"], asked["Which"]) > 20


def test_every_example_has_a_haystack_and_a_cluster_of_its_own(words, examples):
    found = [e for seed in (0, 1) for e in examples(needle(words, **GRID, seed=seed))]
    assert (
        len({e.id for e in found})
        == len({e.cluster for e in found})
        == len({e.context for e in found})
        == 200
    )
    assert len({e.context[-60:] for e in found if e.tags["depth"] < 100}) > 150


def test_more_samples_or_a_larger_grid_leave_an_example_as_it_was(words, examples):
    few = {e.id: e for e in examples(needle(words, lengths=(300,), depths=(50,), samples=3))}
    many = {e.id: e for e in examples(needle(words, **GRID, samples=5))}
    assert len(few) == 3
    assert few.items() <= many.items()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lengths": (30,)}, r"facts=1 do not fit in 30 tokens: for this reader 0 do"),
        ({"lengths": (100,), "facts": 50}, r"facts=50 do not fit in 100 tokens: for this reader \d do"),
        ({"depths": (0, 101)}, "depths=0;101 is not possible: use whole numbers from 0 to 100"),
        ({"depths": ()}, "depths=nothing"),
        ({"lengths": (300, 300)}, "names a number twice"),
        ({"samples": 0}, "samples=0"),
        ({"facts": 0}, "facts=0"),
        ({"lengths": (-5,)}, "lengths=-5"),
    ],
)
def test_options_that_make_no_sense_are_one_line_errors(words, options, message):
    with pytest.raises(ValueError, match=message) as error:
        needle(words, **options)
    assert "\n" not in str(error.value)
