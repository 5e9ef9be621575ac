"""Multi-hop questions, their promises one by one: ``python -m pytest tests/benchmarks/test_multihop.py``."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import pytest

from benchmarks.multihop import MULTIHOP, multihop

CALLED = re.compile(r"The (\w+) is called (\w+)\.")
OFFICE = re.compile(r"The office of (\w+) is in (\w+)\.")
BOSS = re.compile(r"The boss of (\w+) is called (\w+)\.")
ALL = (1, 2, 3)


def places(words, example) -> list[tuple[int, int]]:
    """First and last token, in the context, of every evidence sentence."""
    return [(words(example.context[:a]), words(example.context[:b]) - 1) for a, b in example.evidence]


def test_every_prompt_has_exactly_the_length_for_a_word_level_reader(words, examples):
    found = examples(multihop(words, hops=ALL, samples=20))
    found += examples(multihop(words, persons=80, length=4000, samples=5))
    for example in found:
        assert words(MULTIHOP.prompt(example.context, example.question)) == example.length
        assert example.length == (4000 if example.tags["persons"] == 80 else 1200)


@pytest.mark.parametrize("options", [{}, {"distance": 150}, {"distance": 60, "same_chunk": True}])
def test_other_readers_get_a_few_tokens_less_at_most_and_never_more(any_counter, examples, options):
    for example in examples(multihop(any_counter, hops=ALL, persons=5, length=900, samples=7, **options)):
        assert any_counter(MULTIHOP.prompt(example.context, example.question)) == example.length
        assert 890 <= example.length <= 900


@pytest.mark.parametrize("persons", range(74, 84))
def test_where_fillers_cannot_hit_the_length_the_prompt_is_a_little_shorter(words, examples, persons):
    for example in examples(multihop(words, persons=persons, samples=4)):
        assert words(MULTIHOP.prompt(example.context, example.question)) == example.length
        assert 1190 < example.length <= 1200


@pytest.mark.parametrize("options", [{}, {"distance": 200}, {"same_chunk": False}])
def test_a_solver_without_a_model_answers_every_question_and_finds_nothing_where_nothing_is(
    words, examples, solve, options
):
    task_sets = multihop(words, hops=ALL, samples=40, **options)
    for example in examples(task_sets):
        assert solve(example.context, example.question) == example.answers[0]
    for example in examples(task_sets, "multihop"):
        assert example.answers[0] in example.choices
    for example in examples(task_sets, "multihop_absent"):
        assert example.answers == ("Error",)
        assert not example.evidence
        asked = re.findall(r"(\w+)\?", example.question)[0]
        assert not re.search(rf"\b{asked}\b", example.context)


def test_every_person_has_one_job_and_one_office_and_a_boss_where_three_hops_need_one(words, examples):
    for example in examples(multihop(words, hops=ALL, samples=10)):
        jobs, offices = CALLED.findall(example.context), OFFICE.findall(example.context)
        bosses = BOSS.findall(example.context)
        people = {name for _, name in jobs}
        assert len(jobs) == len({job for job, _ in jobs}) == len(people) == 10
        assert sorted(name for name, _ in offices) == sorted(people)
        if example.bucket == "3":
            assert sorted(name for name, _ in bosses) == sorted(boss for _, boss in bosses) == sorted(people)
            assert all(name != boss for name, boss in bosses)
        else:
            assert not bosses


def test_evidence_is_the_chain_in_the_order_of_reasoning(words, examples):
    for example in examples(multihop(words, hops=ALL, samples=20), "multihop"):
        sentences = [example.context[start:end] for start, end in example.evidence]
        kinds = {"1": [OFFICE], "2": [CALLED, OFFICE], "3": [CALLED, BOSS, OFFICE]}[example.bucket]
        matches = [kind.fullmatch(sentence) for kind, sentence in zip(kinds, sentences, strict=True)]
        asked = re.findall(r"(\w+)\?", example.question)[0]
        for match in matches:
            assert match
            assert match[1] == asked
            asked = match[2]
        assert asked == example.answers[0]
        assert example.tags["token"] == words(MULTIHOP.before + example.context[: example.evidence[0][0]])


def test_seventy_in_a_hundred_are_answerable_for_each_number_of_hops(words):
    answerable, absent = multihop(words, hops=ALL, samples=100)
    assert (answerable.task.name, answerable.confirmatory) == ("multihop", True)
    assert (absent.task.name, absent.confirmatory) == ("multihop_absent", False)
    assert Counter(e.bucket for e in answerable.examples) == {"1": 70, "2": 70, "3": 70}
    assert Counter(e.bucket for e in absent.examples) == {"1": 30, "2": 30, "3": 30}
    assert answerable.task.max_new_tokens == absent.task.max_new_tokens == 24


def test_at_distance_0_the_facts_of_every_person_adjoin(words, examples):
    for example in examples(multihop(words, samples=30)):
        assert len(re.findall(r"is called (\w+)\. The office of \1 is in", example.context)) == 10
        assert example.tags.get("distance", 0) == 0


@pytest.mark.parametrize("distance", [20, 100, 500])
def test_a_distance_is_met_to_the_nearest_sentence(words, examples, distance):
    for example in examples(multihop(words, hops=(2, 3), distance=distance, samples=20), "multihop"):
        spots = places(words, example)
        gaps = [right[0] - left[1] - 1 for left, right in itertools.pairwise(spots)]
        assert all(abs(gap - distance) <= 5 for gap in gaps)
        assert example.tags["distance"] == max(gaps)


def test_the_same_question_is_asked_at_every_distance(words, examples):
    near, far = (examples(multihop(words, distance=d, samples=20)) for d in (0, 400))
    assert [(e.question, e.answers) for e in near] == [(e.question, e.answers) for e in far]
    assert not {e.id for e in near} & {e.id for e in far}
    assert not {e.context for e in near} & {e.context for e in far}


@pytest.mark.parametrize("distance", [0, 60, 200])
@pytest.mark.parametrize("same_chunk", [True, False])
def test_one_chunk_holds_the_chain_or_none_does_as_asked(words, count_pieces, examples, distance, same_chunk):
    for count in (words, count_pieces):
        task_sets = multihop(count, distance=distance, same_chunk=same_chunk, samples=10)
        for example in examples(task_sets, "multihop"):
            first = count(example.context[: example.evidence[0][0]].rstrip())
            last = count(example.context[: example.evidence[1][1]]) - 1
            assert (first // 250 == last // 250) == same_chunk == bool(example.tags["same_chunk"])


def test_facts_in_two_chunks_are_whole_where_there_is_a_choice(words, examples):
    for example in examples(multihop(words, distance=60, same_chunk=False, samples=30), "multihop"):
        assert all(first // 250 == last // 250 for first, last in places(words, example))


def test_chains_lie_all_over_the_context(words, examples):
    tokens = sorted(e.tags["token"] for e in examples(multihop(words, samples=100), "multihop"))
    assert tokens[0] < 150
    assert 450 < tokens[35] < 750
    assert tokens[-1] > 1050


def test_more_samples_or_other_hops_leave_an_example_as_it_was(words, examples):
    few = {e.id: e for e in examples(multihop(words, samples=7))}
    many = {e.id: e for e in examples(multihop(words, hops=ALL, samples=30))}
    assert len(few) == 7
    assert few.items() <= many.items()


def test_ids_are_unique_and_no_two_contexts_are_alike(words, examples):
    found = [e for seed in (0, 1) for e in examples(multihop(words, hops=ALL, samples=20, seed=seed))]
    assert (
        len({e.id for e in found})
        == len({e.context for e in found})
        == len({e.cluster for e in found})
        == 120
    )
    layouts = [{}, {"distance": 50}, {"same_chunk": True}, {"same_chunk": False}, {"persons": 11}]
    ids = [e.id for layout in layouts for e in examples(multihop(words, samples=2, **layout))]
    assert len(set(ids)) == 10


def test_a_question_is_one_cluster_wherever_its_facts_lie(words, examples):
    layouts = [{"distance": 0}, {"distance": 300}, {"same_chunk": True}, {"same_chunk": False, "chunk": 100}]
    near, *others = [examples(multihop(words, samples=10, **layout)) for layout in layouts]
    assert len({example.cluster for example in near}) == 10
    for far in others:
        assert [example.question for example in far] == [example.question for example in near]
        assert [example.cluster for example in far] == [example.cluster for example in near]
        assert {example.id for example in far}.isdisjoint(example.id for example in near)
    for different in ({"length": 1300}, {"persons": 11}, {"hops": (3,)}, {"seed": 1}):
        others = examples(multihop(words, samples=10, **different))
        assert {example.cluster for example in others}.isdisjoint(example.cluster for example in near)


def test_more_persons_than_fit_is_one_line_that_says_how_many_do(any_counter, examples):
    with pytest.raises(ValueError, match=r"persons=200 do not fit in 1200 tokens: .* \d+ do$") as error:
        multihop(any_counter, persons=200)
    most = int(re.findall(r"\d+", str(error.value))[-1])
    assert len(CALLED.findall(examples(multihop(any_counter, persons=most, samples=3))[0].context)) == most


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hops": (4,)}, "hops=4 is not possible: use whole numbers from 1 to 3"),
        ({"hops": ()}, "hops=nothing"),
        ({"persons": 0}, "persons=0"),
        ({"persons": 1, "hops": (3,)}, "persons=1"),
        ({"samples": 0}, "samples=0"),
        ({"persons": 5000}, "persons=5000 is not possible: use whole numbers from 1 to 241"),
        ({"distance": -1}, "distance=-1"),
        ({"distance": 1190}, r"distance=1190 does not fit .* at most \d+ lie"),
        (
            {"same_chunk": True, "distance": 300},
            "same_chunk=true is not possible with distance=300 and chunk=250",
        ),
        ({"same_chunk": False, "chunk": 2000}, "same_chunk=false is not possible"),
        ({"chunk": 0}, "chunk=0"),
    ],
)
def test_options_that_make_no_sense_are_one_line_errors(words, options, message):
    with pytest.raises(ValueError, match=message) as error:
        multihop(words, **options)
    assert "\n" not in str(error.value)
