"""Passages of whole sentences, filled up to an exact number of tokens, with the place of every fact in them.

Lengths are those of the whole prompt (instruction, context, question) as the reader counts it. A word-level
reader gets them exactly wherever 72 tokens or more are left for filler, whose sentences have 9 or 10 tokens;
any other reader gets them to within a few tokens, and never more. Shared by recall, needle and multihop;
exercised by ``python -m pytest tests/benchmarks``.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import english
from benchmarks.base import CountTokens, Span, Task, TaskSet, stable_seed
from benchmarks.generated import GeneratedExamples, Sketch

DRAWS = 100  # fillers looked at before the one that fits best is taken
ROUNDS = 6  # corrections of the estimate by the reader's own count
REPEATS = 9
SAMPLE = 200  # sentences from which the cost of a kind of sentence is learned

Spread = tuple[float, float]  # mean and variance of the tokens of one kind of sentence


class TokenCounts:
    """Measures texts by the reader's tokenizer, and sentences by adding up their words, which is quick.

    The sum is exact for a word-level tokenizer and near enough to plan with for any other.
    """

    def __init__(self, count_tokens: CountTokens) -> None:
        self.count = count_tokens
        self._costs: dict[str, float] = {}
        rng = random.Random(stable_seed("ruler"))
        costs = sorted(self.cost(english.filler(rng)) for _ in range(SAMPLE))
        self._shortest, self._longest = costs[SAMPLE // 20], costs[-1 - SAMPLE // 20]

    def cost(self, sentence: str) -> float:
        """Estimated tokens of a sentence that stands after another one."""
        return sum(map(self._word_cost, sentence.split(" ")))

    def _word_cost(self, word: str) -> float:
        if word not in self._costs:
            # The difference of two counts: the first word of a text may cost more or less than the others.
            repeated = self.count(" ".join([word] * REPEATS))
            self._costs[word] = (repeated - self.count(word)) / (REPEATS - 1)
        return self._costs[word]

    def fillable(self, room: float) -> bool:
        """Whether some number of fillers has `room` tokens (a whole number of them: a fraction is let go)."""
        tokens = math.floor(room)
        return tokens >= 0 and math.ceil(tokens / self._longest) * self._shortest <= tokens

    def spread(self, draw: Callable[[random.Random], str]) -> Spread:
        """Tokens of one kind of sentence over many draws, the mean by the reader's own count of them all."""
        rng = random.Random(stable_seed("kind"))
        sentences = [draw(rng) for _ in range(SAMPLE)]
        mean = self.count(" ".join(sentences)) / SAMPLE
        return mean, statistics.pvariance(map(self.cost, sentences))


def most_that_fit(room: float, kinds: Callable[[int], Sequence[tuple[int, Spread]]]) -> int:
    """The largest n whose sentences fit into `room` tokens; `kinds(n)` lists how many there are of each kind.

    Four standard deviations are kept free, so that no draw of n is too long.
    """

    def tokens(n: int) -> float:
        parts = kinds(n)
        variance = sum(number * variance for number, (_, variance) in parts)
        return sum(number * mean for number, (mean, _) in parts) + 4 * math.sqrt(variance)

    n = 0
    while tokens(n + 1) <= room:
        n += 1
    return n


@dataclass(frozen=True)
class Draft:
    """What a passage must hold: the facts, the question asked of it, the people whom its fillers may name."""

    question: str
    facts: tuple[str, ...]
    people: tuple[str, ...]
    length: int
    seed: int


@dataclass(frozen=True)
class Passage:
    """A context, the tokens of its whole prompt, and the character span of every sentence that is a fact."""

    context: str
    length: int
    spans: dict[str, Span]

    def depth(self, fact: str) -> float:
        """Where the fact begins, from 0 (first in the context) to 1 (last), by characters."""
        start, end = self.spans[fact]
        room = len(self.context) - (end - start)
        return round(start / room, 3) if room else 0.0

    def tokens(self, counts: TokenCounts, fact: str) -> Span:
        """First token of the fact and the one after its last, in the context alone."""
        start, end = self.spans[fact]
        return counts.count(self.context[:start].rstrip()), counts.count(self.context[:end])

    def position(self, counts: TokenCounts, task: Task, fact: str) -> int:
        """Tokens of the prompt that stand before the fact."""
        before = task.before + self.context[: self.spans[fact][0]]
        return counts.count(before.rstrip(" "))


Arrange = Callable[[list[str], random.Random], list[str]]


def shuffle(facts: tuple[str, ...], fillers: list[str], rng: random.Random) -> list[str]:
    """Facts and fillers in one random order."""
    return rng.sample([*facts, *fillers], len(facts) + len(fillers))


def room_for_filler(counts: TokenCounts, task: Task, draft: Draft) -> float:
    """Tokens left for filler once instruction, question and facts are in; negative if they are too long."""
    return draft.length - counts.count(task.prompt("", draft.question)) - sum(map(counts.cost, draft.facts))


def assemble(counts: TokenCounts, task: Task, draft: Draft, arrange: Arrange) -> Passage:
    """Fill the draft up with filler to its length. `arrange(fillers, rng)` puts the facts among them.

    Plans with the estimate, measures the whole prompt, corrects the plan by the difference, and keeps the
    longest prompt that is not too long. ValueError if there is none.
    """
    room, best = room_for_filler(counts, task, draft), None
    for _ in range(ROUNDS):
        rng = random.Random(draft.seed)
        sentences = arrange(_fill(counts, room, draft.people, rng), rng)
        context = " ".join(sentences)
        length = counts.count(task.prompt(context, draft.question))
        if length <= draft.length and (best is None or length > best.length):
            best = Passage(context, length, find_spans(sentences, set(draft.facts)))
        if length == draft.length:
            break
        room += draft.length - length
    if best is None:
        raise ValueError(f"{len(draft.facts)} facts are too long for {draft.length} tokens: ask for fewer")
    return best


def _fill(counts: TokenCounts, room: float, people: Sequence[str], rng: random.Random) -> list[str]:
    """Fillers of `room` tokens together, or as near below as can be."""
    left = math.floor(room)
    while left > 0 and not counts.fillable(left):
        left -= 1
    fillers: list[str] = []
    rest: float = left
    while rest >= 1:
        chosen = None
        for _ in range(DRAWS):
            person = rng.choice(people) if rng.random() < english.PERSON_SHARE else None
            sentence = english.filler(rng, person=person)
            after = rest - counts.cost(sentence)
            if after >= 0 and (chosen is None or after < chosen[0]):
                chosen = after, sentence
            if counts.fillable(after):
                chosen = after, sentence
                break
        if chosen is None:
            break
        rest = chosen[0]
        fillers.append(chosen[1])
    return fillers


def find_spans(pieces: Sequence[str], wanted: set[str]) -> dict[str, Span]:
    """The characters at which each of the `wanted` pieces stands once all are joined by a blank or line break."""
    spans, start = {}, 0
    for piece in pieces:
        if piece in wanted:
            spans[piece] = start, start + len(piece)
        start += len(piece) + 1
    return spans


def is_absent(index: int) -> bool:
    """Three examples in ten ask what the text does not say; which ones depends on the index alone."""
    return (index + 1) * 3 // 10 > index * 3 // 10


def is_hard(index: int) -> bool:
    """Every third absent example names something that the text speaks of, without what is asked about it."""
    return is_absent(index) and index * 3 // 10 % 3 == 0


def task_sets(answerable: Task, absent: Task, sketches: Sequence[tuple[int, Sketch]]) -> list[TaskSet]:
    """The examples (with their index) by task; those without an answer never enter the confirmatory mean."""
    answered = GeneratedExamples(sketch for index, sketch in sketches if not is_absent(index))
    others = GeneratedExamples(sketch for index, sketch in sketches if is_absent(index))
    sets = [TaskSet(answerable, answered), TaskSet(absent, others, confirmatory=False)]
    return [task_set for task_set in sets if task_set.examples]


def check_numbers(option: str, numbers: Sequence[int], least: int, most: int | None = None) -> None:
    """ValueError unless `option` ("benchmark: option") lists different numbers from `least` to `most`."""
    given = ";".join(map(str, numbers)) or "nothing"
    if not numbers or min(numbers) < least or (most is not None and max(numbers) > most):
        limits = f"from {least} to {most}" if most is not None else f"of at least {least}"
        raise ValueError(f"{option}={given} is not possible: use whole numbers {limits}")
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"{option}={given} names a number twice: name each once")
