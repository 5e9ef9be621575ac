"""Examples made when they are asked for, and what they say: ``python -m pytest tests/benchmarks/test_generated.py``."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

import benchmarks
from benchmarks.base import Example, Outline, TaskSet, digest
from benchmarks.generated import GeneratedExamples, Sketch

WORDS = ("river", "stone", "cloud", "window", "harbour", "letter", "quiet", "slow")
GRID = {"lengths": (1000, 4000), "depths": (0, 50, 100), "samples": 3}
OPTIONS = {
    "recall": {"facts": (10, 100), "samples": 12},
    "needle": {**GRID, "facts": 3},
    "multihop": {"persons": 10, "hops": (1, 2, 3), "distance": 200, "samples": 6},
    "kamradt": GRID,
    "passkey": GRID | {"variant": "decimamba"},
    "ruler": {"lengths": (2000, 4000), "samples": 4},
    "hotpotqa": {"lengths": (1000, 2000), "samples": 6},
}
DIGESTS = {
    "recall": "d06142f2e4d7b1c6",
    "needle": "79e0d12a1586eb88",
    "multihop": "e777d59b46329bd9",
    "kamradt": "f696c3235f20bc4e",
    "passkey": "111f31563f557d74",
    "ruler": "07ca273d56d88dde",
    "hotpotqa": "233c797502f3bdfb",
}
EACH = pytest.mark.parametrize("name", OPTIONS)


def quarters(text: str) -> int:
    return -(-len(text) // 4)


def sentences(rng: random.Random, number: int) -> list[str]:
    drawn = (" ".join(rng.choices(WORDS, k=rng.randint(4, 18))) for _ in range(number))
    return [f"{sentence.capitalize()}." for sentence in drawn]


def hotpot_row(rng: random.Random, number: int) -> dict:
    context = [[f"Title {number}-{i}", sentences(rng, 6)] for i in range(4)]
    row = {
        "_id": f"id{number}",
        "question": f"Which is {number}?",
        "answer": f"one {number}",
        "level": "hard",
    }
    facts = [[f"Title {number}-1", 0], [f"Title {number}-2", 3]]
    return row | {"type": ("bridge", "comparison")[number % 2], "context": context, "supporting_facts": facts}


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Task sets of a benchmark with its `OPTIONS`, on made-up texts (and keys of RULER) where it reads some."""
    monkeypatch.setattr("benchmarks.ruler.word_lists", lambda: (WORDS, tuple(f"noun{i}" for i in range(99))))
    rng = random.Random(4)
    (tmp_path / "essay.txt").write_text(" ".join(sentences(rng, 400)), encoding="utf-8")
    (tmp_path / "multihop").mkdir()
    rows = "".join(json.dumps(hotpot_row(rng, number)) + "\n" for number in range(40))
    (tmp_path / "multihop" / "hotpotqa.jsonl").write_text(rows, encoding="utf-8")
    reads: dict[str, dict[str, Path]] = {
        name: {"haystack": tmp_path} for name in ("kamradt", "passkey", "ruler")
    }
    reads["hotpotqa"] = {"data_dir": tmp_path}

    def task_sets(name: str, count_tokens=quarters, **options) -> list[TaskSet]:
        given = OPTIONS[name] | reads.get(name, {}) | options
        return list(benchmarks.find(name)(count_tokens, **given))

    return task_sets


@EACH
def test_the_examples_of_a_seed_stay_what_they_are_to_the_last_field(make, name):
    """Another digest means other examples: raise the task's revision, or old and new records get mixed."""
    task_sets = make(name)
    made = [repr(example) for task_set in task_sets for example in task_set.examples]
    assert digest(*made) == DIGESTS[name]
    revisions = {task_set.task.revision.partition("-")[0] for task_set in task_sets}
    assert revisions == {"ruler": {"1", "2"}, "hotpotqa": {"file"}}.get(name, {"1"})


@EACH
def test_what_is_known_before_an_example_is_made_is_what_it_then_says(make, name):
    for task_set in make(name):
        assert isinstance(task_set.examples, GeneratedExamples)
        for outline, example in zip(task_set.outlines, task_set.examples, strict=True):
            assert (outline.id, outline.bucket, outline.answers) == (
                example.id,
                example.bucket,
                example.answers,
            )


@EACH
def test_documents_tell_examples_apart_just_as_clusters_do(make, name):
    for task_set in make(name):
        clusters = [example.cluster for example in task_set.examples]
        documents = [outline.document for outline in task_set.outlines]
        assert all(documents)
        assert [documents.index(one) for one in documents] == [clusters.index(one) for one in clusters]


def test_the_multi_hop_sets_as_they_are_know_their_documents_too(make):
    (task_set,) = make("hotpotqa", lengths=(), samples=None)
    assert [one.document for one in task_set.outlines] == [one.cluster for one in task_set.examples]


def sketches(number: int, made: list[int]) -> list[Sketch]:
    def maker(place: int):
        def make() -> Example:
            made.append(place)
            return Example(f"e{place}", "text", "q", ("a",), 1, "b")

        return make

    return [Sketch(Outline(f"e{place}", "b", ("a",), f"e{place}"), maker(place)) for place in range(number)]


def test_only_what_is_asked_for_is_made_and_only_once():
    made: list[int] = []
    examples = GeneratedExamples(sketches(5, made))
    assert len(examples) == 5
    assert [one.id for one in examples.outlines] == ["e0", "e1", "e2", "e3", "e4"]
    assert made == []
    assert examples[-1].id == "e4"
    assert examples[4] is examples[-1]
    assert [one.id for one in examples[1:4:2]] == ["e1", "e3"]
    assert made == [4, 1, 3]
    assert [one.id for one in examples] == ["e0", "e1", "e2", "e3", "e4"]
    assert sorted(made) == [0, 1, 2, 3, 4]
    with pytest.raises(IndexError):
        examples[5]


@pytest.mark.parametrize("name", ["needle", "ruler", "passkey", "kamradt"])
def test_a_long_text_is_not_made_for_the_plan(make, name):
    """Of a grid up to a million tokens, no text is counted that is much longer than the shortest length."""
    longest = 0

    def count(text: str) -> int:
        nonlocal longest
        longest = max(longest, len(text))
        return quarters(text)

    task_sets = make(name, count, lengths=(2000, 1_000_000))
    assert longest < 50_000
    assert {outline.bucket for one in task_sets for outline in one.outlines} == {"2000", "1000000"}
