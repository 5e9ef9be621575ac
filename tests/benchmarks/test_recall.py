"""Associative recall, its promises one by one: ``python -m pytest tests/benchmarks/test_recall.py``."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import pytest

from benchmarks import english
from benchmarks.recall import RECALL, recall

FACT = re.compile(r"The office of (\w+) is in (\w+)\.|(\w+) works in (\w+)\.")


def facts_of(context: str) -> list[tuple[str, str]]:
    """(person, relation) of every fact in the text, in its order."""
    return [(m[1], "office") if m[1] else (m[3], "works") for m in FACT.finditer(context)]


def prompt_of(example) -> str:
    return RECALL.prompt(example.context, example.question)


def test_every_prompt_has_exactly_the_length_for_a_word_level_reader(words, examples):
    for example in examples(recall(words, facts=(1, 10, 100, 150), samples=20)):
        assert words(prompt_of(example)) == example.length == 1200


@pytest.mark.parametrize("facts", range(165, 181))
def test_the_length_is_exact_up_to_the_last_fact_that_fits(words, examples, facts):
    for example in examples(recall(words, facts=(facts,), samples=4)):
        assert words(prompt_of(example)) == 1200
        assert len(facts_of(example.context)) == facts


def test_other_readers_get_a_few_tokens_less_at_most_and_never_more(any_counter, examples):
    found = examples(recall(any_counter, length=900, facts=(5, 50), samples=20))
    for example in found:
        assert any_counter(prompt_of(example)) == example.length
        assert 890 <= example.length <= 900
    assert sum(example.length for example in found) / len(found) > 898


def test_more_facts_than_fit_is_one_line_that_says_how_many_do(any_counter):
    with pytest.raises(ValueError, match=r"recall: 500 facts do not fit in 1200 tokens: .* \d+ do$") as error:
        recall(any_counter, facts=(10, 500), samples=1)
    assert "\n" not in str(error.value)
    most = int(re.findall(r"\d+", str(error.value))[-1])
    task_sets = recall(any_counter, facts=(most,), samples=10)
    assert len(facts_of(task_sets[0].examples[0].context)) == most
    with pytest.raises(ValueError, match=f"{most} do"):
        recall(any_counter, facts=(most + 1,), samples=1)


def test_the_facts_are_as_many_as_the_bucket_says_half_of_them_offices_and_a_third_reuse_a_person(
    words, examples
):
    for example in examples(recall(words, samples=20)):
        keys, n = facts_of(example.context), int(example.bucket)
        assert len(keys) == len(set(keys)) == n == example.tags["facts"]
        assert abs(sum(relation == "office" for _, relation in keys) - n / 2) <= 0.5
        people = Counter(person for person, _ in keys)
        assert sum(count == 2 for count in people.values()) == n * 3 // 10


def test_facts_lie_all_over_the_context_in_random_order(words, examples):
    found = examples(recall(words, facts=(25,), samples=100), "recall")
    depths = sorted(example.tags["depth"] for example in found)
    assert depths[0] < 0.1
    assert depths[-1] > 0.9
    assert 0.35 < depths[len(depths) // 2] < 0.65
    for example in found:
        starts = [match.start() for match in FACT.finditer(example.context)]
        gaps = [right - left for left, right in itertools.pairwise(starts)]
        assert max(gaps) < len(example.context) / 2
        assert len(set(facts_of(example.context)[:10])) == 10


def test_evidence_is_the_sentence_of_the_asked_fact(words, examples):
    for example in examples(recall(words, samples=20), "recall"):
        ((start, end),) = example.evidence
        sentence = example.context[start:end]
        person = re.findall(r"(\w+)\?", example.question)[0]
        assert FACT.fullmatch(sentence)
        assert person in sentence
        assert example.answers[0] in sentence
        assert words(RECALL.before + example.context[:start]) == example.tags["token"]


def test_a_solver_without_a_model_answers_every_question_and_finds_nothing_where_nothing_is(
    words, examples, solve
):
    task_sets = recall(words, samples=40)
    for example in examples(task_sets):
        assert solve(example.context, example.question) == example.answers[0]
    assert all(example.answers != ("Error",) for example in examples(task_sets, "recall"))
    for example in examples(task_sets, "recall_absent"):
        assert example.answers == ("Error",)
        assert not example.evidence


def test_seventy_in_a_hundred_are_answerable_and_a_third_of_the_others_name_a_person_who_is_there(
    words, examples
):
    answerable, absent = recall(words, facts=(10, 50), samples=100)
    assert (answerable.task.name, answerable.confirmatory) == ("recall", True)
    assert (absent.task.name, absent.confirmatory) == ("recall_absent", False)
    for bucket in ("10", "50"):
        assert sum(e.bucket == bucket for e in answerable.examples) == 70
        asked = [example for example in absent.examples if example.bucket == bucket]
        hard = 0
        for example in asked:
            person = re.findall(r"(\w+)\?", example.question)[0]
            relations = {relation for name, relation in facts_of(example.context) if name == person}
            assert relations == (
                {"office", "works"} - {example.tags["relation"]} if example.tags["hard"] else set()
            )
            hard += int(example.tags["hard"])
        assert (len(asked), hard) == (30, 10)


def test_both_relations_are_asked_and_the_choices_are_all_values_of_the_asked_one(words, examples):
    asked = Counter()
    for example in examples(recall(words, facts=(10,), samples=100)):
        asked[example.tags["relation"]] += 1
        office = example.question.startswith("Where is the office of")
        assert example.choices == (english.CITIES if office else english.FIELDS)
        assert example.tags["relation"] == ("office" if office else "works")
    assert min(asked.values()) > 30


def test_some_fillers_name_a_person_with_a_fact_or_without(words, examples):
    share, known = [], Counter()
    for example in examples(recall(words, facts=(10,), samples=50)):
        people = {person for person, _ in facts_of(example.context)}
        fillers = [s for s in re.findall(r"[^.]+\.", example.context) if not FACT.fullmatch(s.strip())]
        named = [w for s in fillers for w in re.findall(r"\w+", s) if w in english.NAMES]
        share.append(len(named) / len(fillers))
        known.update(name in people for name in named)
    assert 0.12 < sum(share) / len(share) < 0.18
    assert min(known.values()) > 100


def test_more_samples_or_other_buckets_leave_an_example_as_it_was(words, examples):
    few = {e.id: e for e in examples(recall(words, facts=(50,), samples=7))}
    many = {e.id: e for e in examples(recall(words, facts=(10, 50), samples=30))}
    assert len(few) == 7
    assert few.items() <= many.items()


def test_ids_are_unique_and_no_two_contexts_are_alike(words, examples):
    found = [e for seed in (0, 1) for e in examples(recall(words, facts=(10, 25), samples=30, seed=seed))]
    assert (
        len({e.id for e in found})
        == len({e.context for e in found})
        == len({e.cluster for e in found})
        == 120
    )
    assert "recall-1200-f25-s1-017" in {e.id for e in found}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"facts": ()}, "facts=nothing"),
        ({"facts": (0, 5)}, "facts=0;5 is not possible"),
        ({"facts": (5, 5)}, "facts=5;5 names a number twice"),
        ({"samples": 0}, "samples=0 is not possible"),
        ({"length": 0}, "do not fit in 0 tokens: for this reader 0 do"),
    ],
)
def test_options_that_make_no_sense_are_one_line_errors(words, options, message):
    with pytest.raises(ValueError, match=message) as error:
        recall(words, **options)
    assert "\n" not in str(error.value)


def test_so_many_facts_that_the_names_run_out_are_refused_too(words):
    with pytest.raises(ValueError, match="for this reader 888 do"):
        recall(words, length=20_000, facts=(2000,), samples=1)
    assert len(recall(words, length=20_000, facts=(888,), samples=1)[0].examples) == 1


def test_a_single_sample_makes_no_empty_task(words):
    assert [task_set.task.name for task_set in recall(words, samples=1)] == ["recall"]
