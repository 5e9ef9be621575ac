"""Multi-hop questions over facts that share an entity: the job names a person, the person has an office.

One hop asks the office of a person, two the office of whoever has a job, three the office of that person's
boss. How far the facts of the asked chain lie apart, and whether one chunk holds them all, are options: a
method that reads one chunk can follow a chain only inside it. Three questions in ten name a job (for one hop
a person) that is not in the text, and are a task of their own. Exercised by
``python run_compare.py --benchmark "multihop:persons=40,distance=300,samples=20"``.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, pairwise

from benchmarks import english
from benchmarks.base import CountTokens, Example, Outline, Span, Task, TaskSet, stable_seed
from benchmarks.generated import Sketch
from benchmarks.passages import (
    Draft,
    Passage,
    TokenCounts,
    assemble,
    check_numbers,
    is_absent,
    most_that_fit,
    task_sets,
)

MULTIHOP = Task("multihop", english.INSTRUCTION, english.QUESTION, metric="value", max_new_tokens=24)
MULTIHOP_ABSENT = Task(
    "multihop_absent", english.INSTRUCTION, english.QUESTION, metric="absent", max_new_tokens=24
)
QUESTIONS = {1: english.ASK_OFFICE, 2: english.ASK_OFFICE_OF_JOB, 3: english.ASK_OFFICE_OF_BOSS}
ATTEMPTS = 20  # passages drawn until the asked chain lies as `same_chunk` wants it


@dataclass(frozen=True)
class Layout:
    """The options that say where the asked chain lies."""

    persons: int
    length: int
    hops: int
    distance: int
    same_chunk: bool | None
    chunk: int

    @property
    def place(self) -> str:
        """What an id says of it."""
        placed = {None: "", True: f"-in{self.chunk}", False: f"-over{self.chunk}"}[self.same_chunk]
        return f"-d{self.distance}{placed}"


def multihop(
    count_tokens: CountTokens,
    *,
    seed: int = 0,
    persons: int = 10,
    length: int = 1200,
    hops: tuple[int, ...] = (2,),
    distance: int = 0,
    same_chunk: bool | None = None,
    chunk: int = 250,
    samples: int = 100,
) -> list[TaskSet]:
    """`samples` examples for each number of hops, 70 % of them with an answer; the bucket is that number.

    `length` is the prompt's, in tokens; `distance` is the number of tokens between the facts of the chain, as
    near as whole sentences allow (0: adjacent, and so are the facts of every other person). `same_chunk`
    wants the chain inside one chunk of `chunk` tokens (cut from the context's first token, without overlap),
    or inside none; unset, it falls as it may. ValueError where the options cannot be met.
    """
    check_numbers("multihop: hops", hops, 1, 3)
    check_numbers("multihop: persons", (persons,), 2 if 3 in hops else 1, len(english.JOBS) - 1)
    check_numbers("multihop: samples", (samples,), 1)
    check_numbers("multihop: distance", (distance,), 0)
    check_numbers("multihop: chunk", (chunk,), 1)
    counts = TokenCounts(count_tokens)
    most = _most_persons(counts, length, max(hops))
    if persons > most:
        raise ValueError(
            f"multihop: persons={persons} do not fit in {length} tokens: for this reader {most} do"
        )
    layouts = [Layout(persons, length, h, distance, same_chunk, chunk) for h in hops]
    for layout in layouts:  # what cannot be laid out is refused before it is asked for
        _sketch(counts, seed, layout, 0).make()
    sketches = [
        (index, _sketch(counts, seed, layout, index)) for layout in layouts for index in range(samples)
    ]
    return task_sets(MULTIHOP, MULTIHOP_ABSENT, sketches)


def _most_persons(counts: TokenCounts, length: int, hops: int) -> int:
    def person(rng: random.Random) -> str:
        name, boss = rng.sample(english.NAMES, 2)
        sentences = [
            english.CALLED.format(rng.choice(english.JOBS), name),
            english.OFFICE.format(name, rng.choice(english.CITIES)),
        ]
        return " ".join([*sentences, english.BOSS.format(name, boss)] if hops == 3 else sentences)

    room = length - max(
        counts.count(MULTIHOP.prompt("", QUESTIONS[hops].format(job))) for job in english.JOBS
    )
    kind = counts.spread(person)
    return most_that_fit(room, lambda n: [(n, kind)])


@dataclass(frozen=True)
class World:
    """Who has which job, which office and which boss. The last name and the last job are in no sentence."""

    names: Sequence[str]
    jobs: Sequence[str]
    cities: Sequence[str]

    @classmethod
    def draw(cls, rng: random.Random, persons: int) -> World:
        names, jobs = rng.sample(english.NAMES, persons + 1), rng.sample(english.JOBS, persons + 1)
        return cls(names, jobs, rng.choices(english.CITIES, k=persons))

    def called(self, k: int) -> str:
        return english.CALLED.format(self.jobs[k], self.names[k])

    def office(self, k: int) -> str:
        return english.OFFICE.format(self.names[k], self.cities[k])

    def boss(self, k: int) -> str:
        return english.BOSS.format(self.names[k], self.names[(k + 1) % len(self.cities)])

    def facts(self, k: int, hops: int) -> tuple[str, ...]:
        """What the text says of one person; of bosses it speaks only where a question needs them."""
        boss = (self.boss(k),) if hops == 3 else ()
        return (self.called(k), *boss, self.office(k))

    def question(self, hops: int, *, absent: bool) -> str:
        """About the first person, or about a job (for one hop a person) that no sentence names."""
        subjects = self.names if hops == 1 else self.jobs
        return QUESTIONS[hops].format(subjects[-1 if absent else 0])

    def chain(self, hops: int) -> tuple[str, ...]:
        """The first person's facts in the order of reasoning. One hop needs only the last of them."""
        return (self.called(0), self.boss(0), self.office(1)) if hops == 3 else self.facts(0, hops)

    def answer(self, hops: int) -> str:
        return self.cities[1] if hops == 3 else self.cities[0]

    def others(self, hops: int) -> list[tuple[str, ...]]:
        """The facts outside the chain, person by person."""
        chain, persons = self.chain(hops), range(len(self.cities))
        blocks = [tuple(fact for fact in self.facts(k, hops) if fact not in chain) for k in persons]
        return [block for block in blocks if block]


def _sketch(counts: TokenCounts, seed: int, layout: Layout, index: int) -> Sketch:
    hops, absent = layout.hops, is_absent(index)
    # Where the chain lies has no part in the seed: the same people and questions at every distance.
    source = stable_seed("multihop", seed, layout.length, hops, layout.persons, index)
    rng = random.Random(source)
    world = World.draw(rng, layout.persons)
    chain, others = world.chain(hops), world.others(hops)
    strangers = [
        name for name in rng.sample(english.NAMES, 2 * layout.persons + 1) if name not in world.names
    ]
    draft = Draft(
        question=world.question(hops, absent=absent),
        facts=(*chain, *(fact for block in others for fact in block)),
        people=(*world.names[:-1], *strangers[: layout.persons]),
        length=layout.length,
        seed=stable_seed("filler", source),
    )
    label, number = f"multihop-{layout.length}-h{hops}-p{layout.persons}", f"-s{seed}-{index:03d}"
    answer = english.NO_ANSWER if absent else world.answer(hops)
    # The people and the question, wherever their facts lie, are one cluster.
    outline = Outline(label + layout.place + number, str(hops), (answer,), document=label + number)
    return Sketch(outline, partial(_example, counts, layout, draft, chain, others, outline))


def _example(
    counts: TokenCounts,
    layout: Layout,
    draft: Draft,
    chain: tuple[str, ...],
    others: list[tuple[str, ...]],
    outline: Outline,
) -> Example:
    hops = layout.hops
    passage, places = _lay_out(counts, layout, draft, chain, others)
    tags: dict[str, str | int | float] = {"hops": hops, "persons": layout.persons}
    evidence: tuple[Span, ...] = ()
    if outline.answers != (english.NO_ANSWER,):
        needed = chain if hops > 1 else chain[-1:]
        evidence = tuple(passage.spans[fact] for fact in needed)
        tags["distance"] = int(max(right[0] - left[1] for left, right in pairwise(places)))
        tags["same_chunk"] = int(_chunks_of(places, layout.chunk)[0])
        tags["token"] = passage.position(counts, MULTIHOP, needed[0])
    return Example(
        id=outline.id,
        context=passage.context,
        question=draft.question,
        answers=outline.answers,
        length=passage.length,
        bucket=outline.bucket,
        choices=english.CITIES,
        evidence=evidence,
        cluster=outline.document,
        tags=tags,
    )


def _lay_out(
    counts: TokenCounts, layout: Layout, draft: Draft, chain: tuple[str, ...], others: list[tuple[str, ...]]
) -> tuple[Passage, list[Span]]:
    """A passage whose chain lies as the layout wants it, and the tokens of its facts as the reader counts."""
    arrange = partial(_arrange, counts, layout, chain, others)
    for attempt in range(ATTEMPTS):
        passage = assemble(counts, MULTIHOP, replace(draft, seed=draft.seed + attempt), arrange)
        places = [passage.tokens(counts, fact) for fact in chain]
        if layout.same_chunk in (None, _chunks_of(places, layout.chunk)[0]):
            return passage, places
    raise ValueError(
        f"multihop: same_chunk={str(layout.same_chunk).lower()} is not possible with "
        f"distance={layout.distance} and chunk={layout.chunk} in {layout.length} tokens: change one of them"
    )


def _arrange(
    counts: TokenCounts,
    layout: Layout,
    chain: tuple[str, ...],
    others: list[tuple[str, ...]],
    fillers: list[str],
    rng: random.Random,
) -> list[str]:
    """The chain at its distance among the other facts and the filler; at distance 0 a person's facts adjoin.

    Where no slot is as `same_chunk` wants it, any will do: the caller measures, and draws another passage.
    """
    blocks = others if layout.distance == 0 else [(fact,) for block in others for fact in block]
    units = rng.sample([*blocks, *((filler,) for filler in fillers)], len(blocks) + len(fillers))
    ends = [0.0, *accumulate(sum(map(counts.cost, unit)) for unit in units)]
    options = _slots(ends, len(chain), layout.distance)
    if not options:
        raise ValueError(
            f"multihop: distance={layout.distance} does not fit in {layout.length} tokens: "
            f"at most {int(ends[-1] / (len(chain) - 1))} lie between two facts"
        )
    if layout.same_chunk is not None:
        options = _fitting(options, ends, [counts.cost(fact) for fact in chain], layout) or options
    slots = rng.choice(options)
    sentences: list[str] = []
    for position in range(len(ends)):
        sentences += [fact for fact, slot in zip(chain, slots, strict=True) if slot == position]
        sentences += units[position] if position < len(units) else ()
    return sentences


def _slots(ends: list[float], facts: int, distance: int) -> list[list[int]]:
    """Every way to put the chain between the units that end at `ends`: one slot for each fact."""
    options = []
    for first in range(len(ends)):
        slots = [first]
        while len(slots) < facts and (target := ends[slots[-1]] + distance) <= ends[-1]:
            after = bisect_left(ends, target, lo=slots[-1])
            before = max(after - 1, slots[-1])
            slots.append(before if target - ends[before] < ends[after] - target else after)
        if len(slots) == facts:
            options.append(slots)
    return options


def _fitting(
    options: list[list[int]], ends: list[float], costs: list[float], layout: Layout
) -> list[list[int]]:
    """The options that lie as `same_chunk` wants it, with as few facts cut by a chunk's border as can be."""
    starts = [0.0, *accumulate(costs)]
    judged = []
    for slots in options:
        begins = [ends[slot] + start for slot, start in zip(slots, starts, strict=False)]
        places = [(begin, begin + cost) for begin, cost in zip(begins, costs, strict=True)]
        together, cut = _chunks_of(places, layout.chunk)
        if together == layout.same_chunk:
            judged.append((cut, slots))
    fewest = min((cut for cut, _ in judged), default=0)
    return [slots for cut, slots in judged if cut == fewest]


def _chunks_of(places: Sequence[tuple[float, float]], chunk: int) -> tuple[bool, int]:
    """Whether one chunk holds all the facts (first token, token after the last), and how many are cut."""
    first = [start // chunk for start, _ in places]
    last = [(end - 1) // chunk for _, end in places]
    return len({*first, *last}) == 1, sum(a != b for a, b in zip(first, last, strict=True))
