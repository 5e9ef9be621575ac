"""The embedded model's curriculum: which lessons come when, on three ladders of growing difficulty.

Facts and pairs of passages from the first step, two hops later. A rung is left when the moving accuracy on answerable
questions at its full size passes 0.88 (0.84 high up), and earlier rungs stay in the mix. The lessons themselves are in
``benchmarks/lessons.py``. Used by ``python -m models.tiny.train`` and, its facts alone, by ``models.tiny.capacity``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import english
from benchmarks.lessons import Lesson, Teacher

PASS_MARK, LATE_MARK, MEMORY = 0.88, 0.84, 0.95
Write = Callable[[], Lesson]
# Sizes are drawn once a batch, so that its rows are of like length.
Writer = Callable[[Teacher, random.Random], Write]


def write_batch(teacher: Teacher, writer: Writer, rng: random.Random, tokens: int) -> list[Lesson]:
    """Lessons of one writer until they have so many tokens."""
    write = writer(teacher, rng)
    lessons: list[Lesson] = []
    while sum(len(lesson.ids) for lesson in lessons) < tokens:
        lessons.append(write())
    return lessons


def facts(
    count: int, *, relations: int = 2, absent: float = 0.35, fillers: tuple[int, int] = (0, 2)
) -> Writer:
    def writer(teacher: Teacher, rng: random.Random) -> Write:
        amount, questions = rng.randint(*fillers), rng.randint(8, 16)
        return lambda: teacher.fact_lesson(rng, count, amount, questions, relations=relations, absent=absent)

    return writer


def dense(count: int, names: int) -> Writer:
    return lambda teacher, rng: lambda: teacher.dense_lesson(rng, count, names, 12)


def chunk(teacher: Teacher, rng: random.Random) -> Write:
    """A chunk as OPRM cuts it: 250 tokens out of a longer text, of any density.

    The fewer facts, the more questions without an answer: among sixteen chunks with six facts each, fifteen must
    say "error", and one false answer in a hundred spoils one question in seven.
    """
    questions = rng.randint(8, 16)

    def write() -> Lesson:
        count = rng.choice((rng.randint(0, 12), rng.randint(4, 45)))
        fillers, absent = max(0, 290 - 7 * count) // 9, 0.65 if count <= 12 else 0.4
        return teacher.fact_lesson(rng, count, fillers, questions, absent=absent, window=250)

    return write


def sparse(teacher: Teacher, rng: random.Random) -> Write:
    """Few facts in much filler, or none at all."""
    count, fillers, questions = rng.randint(0, 5), rng.choice((0, rng.randint(5, 50))), rng.randint(6, 10)
    return lambda: teacher.fact_lesson(rng, count, fillers, questions, absent=0.5)


def any_density(teacher: Teacher, rng: random.Random) -> Write:
    """Facts back to back or among fillers, few or many."""
    fillers, questions = rng.choice((0, rng.randint(0, 12))), rng.randint(8, 16)

    def write() -> Lesson:
        return teacher.fact_lesson(rng, rng.randint(6, 40), fillers, questions, absent=0.5)

    return write


POLISH_FACTS = (any_density, any_density, chunk, chunk, sparse)


def hops(persons: int) -> Writer:
    def writer(teacher: Teacher, rng: random.Random) -> Write:
        fillers, questions = rng.randint(0, 8), rng.randint(6, 10)
        return lambda: teacher.hop_lesson(rng, persons, fillers, questions)

    return writer


def hop_chunk(teacher: Teacher, rng: random.Random) -> Write:
    """A chunk of a longer text with chains of two facts."""
    questions = rng.randint(6, 10)

    def write() -> Lesson:
        persons = rng.randint(1, 14)
        return teacher.hop_lesson(rng, persons, max(0, 290 - 14 * persons) // 9, questions, window=250)

    return write


def dense_pairs(most: int, names: int) -> Writer:
    """One to `most` facts a passage: with one fact always, the place of a name gives its passage away, and that
    shortcut then blocks the binding (one seed of two stayed at 75 % on two facts)."""

    def writer(teacher: Teacher, rng: random.Random) -> Write:
        count = rng.randint(1, most)
        return lambda: teacher.dense_pair_lesson(rng, count, names, 2 * count)

    return writer


def pairs(count: int, most_fillers: int) -> Writer:
    """Few questions where there are few facts: what is asked twice of the same two facts teaches little."""

    def writer(teacher: Teacher, rng: random.Random) -> Write:
        facts_each = rng.choice((count, count, rng.randint(1, count)))
        fillers, questions = rng.randint(0, most_fillers), min(8, 2 * facts_each)
        return lambda: teacher.pair_lesson(rng, facts_each, fillers, questions)

    return writer


@dataclass
class Ladder:
    """Rungs of growing difficulty; `rung` is the one being climbed and `accuracy` its moving accuracy."""

    name: str
    rungs: Sequence[Writer]
    finals: Sequence[Writer]  # mixed in once the top is reached
    rung: int = 0
    accuracy: float = 0.0
    updates: int = 0

    @property
    def done(self) -> bool:
        return self.rung >= len(self.rungs)

    @property
    def late(self) -> bool:
        """On the upper rungs, which are not mastered before the learning rate falls."""
        return self.rung >= 0.6 * len(self.rungs)

    def choose(self, rng: random.Random) -> tuple[Writer, bool]:
        """A writer for this step and whether it is the rung being climbed."""
        if self.done:
            return rng.choice((*self.rungs[-3:], *self.finals, *self.finals)), False
        if self.rung >= 4 and rng.random() < (0.5 if self.late else 0.3):
            finals = (*self.finals, *self.finals) if self.late else self.finals[:1]
            return rng.choice((*self.rungs[3 : self.rung], *finals)), False
        return self.rungs[self.rung], True

    def update(self, accuracy: float) -> None:
        self.updates += 1
        share = max(1 - MEMORY, 1 / self.updates)
        self.accuracy += share * (accuracy - self.accuracy)
        if self.accuracy > (LATE_MARK if self.late else PASS_MARK) and self.updates >= 12:
            self.rung, self.accuracy, self.updates = self.rung + 1, 0.0, 0


def ladders() -> dict[str, Ladder]:
    sizes = (12, 16, 24, 32, 40)
    climb = [
        dense(4, 50), dense(6, 200), dense(8, len(english.NAMES)),
        facts(6, relations=1, absent=0.1), facts(6, absent=0.25), facts(8),
        *(facts(size, fillers=(0, 16)) for size in sizes),
    ]  # fmt: skip
    match = [
        dense_pairs(2, 50), dense_pairs(3, 200), dense_pairs(4, len(english.NAMES)),
        *(pairs(n, n // 2) for n in (1, 2, 4, 6, 8, 12)),
    ]  # fmt: skip
    return {
        "facts": Ladder("facts", climb, [sparse, chunk, chunk]),
        "hops": Ladder("hops", [hops(n) for n in (2, 4, 6, 8, 12, 16)], [hop_chunk, hop_chunk]),
        "pairs": Ladder("pairs", match, [pairs(10, 8), pairs(4, 16)]),
    }


def facts_alone() -> Ladder:
    """The first ladder for readers that may have a very small state: one of four numbers a channel told 50 names
    apart only after 500 steps, so that the pairs begin with ten and twenty names."""
    ladder = ladders()["facts"]
    return Ladder("facts", [dense(4, 10), dense(4, 20), *ladder.rungs], ladder.finals)


def choose_polish(all_ladders: dict[str, Ladder], rng: random.Random) -> tuple[Ladder, Writer]:
    """Mostly facts, of every density; the other skills are kept."""
    name = rng.choices(("facts", "hops", "pairs"), (0.7, 0.15, 0.15))[0]
    ladder = all_ladders[name]
    if name == "facts":
        return ladder, rng.choice(POLISH_FACTS)
    return ladder, ladder.choose(rng)[0]


def choose_ladder(all_ladders: dict[str, Ladder], rng: random.Random) -> Ladder:
    """Facts and pairs from the start, while the layers are as they were initialised; hops join in later.

    (Begun after the facts, pairs stayed at chance: the layers that could bind a name to its passage had drifted
    from the initialisation that makes binding easy.)
    """
    weights = {"facts": 0.6, "pairs": 0.4}
    if all_ladders["facts"].rung >= 6:
        weights = {"facts": 0.5, "pairs": 0.1 if all_ladders["pairs"].done else 0.3, "hops": 0.2}
    return all_ladders[rng.choices(list(weights), list(weights.values()))[0]]
