"""Needle in a haystack: one fact asked, at a chosen depth of filler of a chosen length.

A grid of lengths times depths as in gkamradt/LLMTest_NeedleInAHaystack, at the depths of DeciMamba
(arXiv:2406.14528), in the suite's own English. A length counts the whole prompt, needle included, and every
example has a haystack of its own. Exercised by
``python run_compare.py --benchmark "needle:lengths=1k;2k,depths=0;50;100"``.
"""

from __future__ import annotations

import random
from functools import partial
from itertools import accumulate

from benchmarks import english
from benchmarks.base import CountTokens, Example, Outline, Task, TaskSet, stable_seed
from benchmarks.generated import GeneratedExamples, Sketch
from benchmarks.passages import Draft, TokenCounts, assemble, check_numbers, most_that_fit, shuffle

NEEDLE = Task("needle", english.INSTRUCTION, english.QUESTION, metric="value", max_new_tokens=16)
KINDS = tuple(english.RELATIONS.values())


def needle(
    count_tokens: CountTokens,
    *,
    seed: int = 0,
    lengths: tuple[int, ...] = (1000, 2000, 4000),
    depths: tuple[int, ...] = (0, 25, 50, 75, 100),
    samples: int = 10,
    facts: int = 1,
) -> list[TaskSet]:
    """`samples` examples for each length (tokens) and depth (percent). The bucket is the length.

    `facts` is the number of needles: one is asked, at the depth; the others lie anywhere. ValueError where a
    length is too short for them.
    """
    check_numbers("needle: lengths", lengths, 1)
    check_numbers("needle: depths", depths, 0, 100)
    check_numbers("needle: samples", (samples,), 1)
    check_numbers("needle: facts", (facts,), 1, len(english.NAMES))
    counts = TokenCounts(count_tokens)
    most = _most_needles(counts, min(lengths))
    if facts > most:
        raise ValueError(
            f"needle: facts={facts} do not fit in {min(lengths)} tokens: for this reader {most} do"
        )
    grid = [(length, depth) for length in lengths for depth in depths]
    sketches = (_sketch(counts, seed, *cell, facts, index) for cell in grid for index in range(samples))
    return [TaskSet(NEEDLE, GeneratedExamples(sketches))]


def _most_needles(counts: TokenCounts, length: int) -> int:
    template, ask, values = KINDS[0]
    office = counts.spread(lambda rng: template.format(rng.choice(english.NAMES), rng.choice(values)))
    room = length - max(counts.count(NEEDLE.prompt("", ask.format(name))) for name in english.NAMES[:50])
    return most_that_fit(room, lambda n: [(n, office)])


def _place(
    counts: TokenCounts, depth: int, facts: tuple[str, ...], fillers: list[str], rng: random.Random
) -> list[str]:
    """The first fact between the two whole sentences nearest to the depth, the others anywhere."""
    rest = shuffle(facts[1:], fillers, rng)
    ends = [0.0, *accumulate(map(counts.cost, rest))]
    slot = min(range(len(ends)), key=lambda i: abs(ends[i] - ends[-1] * depth / 100))
    return [*rest[:slot], facts[0], *rest[slot:]]


def _sketch(counts: TokenCounts, seed: int, length: int, depth: int, facts: int, index: int) -> Sketch:
    source = stable_seed("needle", seed, length, depth, facts, index)
    rng = random.Random(source)
    people = rng.sample(english.NAMES, facts)
    kinds = [rng.choice(KINDS) for _ in people]
    values = [rng.choice(kind[2]) for kind in kinds]
    sentences = tuple(kind[0].format(*pair) for kind, *pair in zip(kinds, people, values, strict=True))
    question = kinds[0][1].format(people[0])
    draft = Draft(question, sentences, english.NAMES, length, stable_seed("filler", source))
    name = f"needle-{length}-d{depth}-f{facts}-s{seed}-{index:03d}"
    outline = Outline(name, str(length), (values[0],), document=name)
    return Sketch(outline, partial(_example, counts, draft, depth, kinds[0][2], outline))


def _example(
    counts: TokenCounts, draft: Draft, depth: int, choices: tuple[str, ...], outline: Outline
) -> Example:
    passage = assemble(counts, NEEDLE, draft, partial(_place, counts, depth, draft.facts))
    return Example(
        id=outline.id,
        context=passage.context,
        question=draft.question,
        answers=outline.answers,
        length=passage.length,
        bucket=outline.bucket,
        choices=choices,
        evidence=(passage.spans[draft.facts[0]],),
        tags={
            "length": draft.length,
            "depth": depth,
            "facts": len(draft.facts),
            "token": passage.position(counts, NEEDLE, draft.facts[0]),
        },
    )
