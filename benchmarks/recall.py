"""Associative recall: many facts in a context of constant length, one of them asked.

The number of facts overflows a recurrent state while the length stays the same: the setting of the
associative-recall figure of OPRM (arXiv:2505.07793), in sentences of our own, since its data were not
published. Three questions in ten have no answer in the text and are a task of their own. Exercised by
``python run_compare.py --benchmark "recall:facts=10;100,samples=20"``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks import english
from benchmarks.base import CountTokens, Example, Outline, Span, Task, TaskSet, stable_seed
from benchmarks.english import RELATIONS
from benchmarks.generated import Sketch
from benchmarks.passages import (
    Draft,
    Spread,
    TokenCounts,
    assemble,
    check_numbers,
    is_absent,
    is_hard,
    most_that_fit,
    room_for_filler,
    shuffle,
    task_sets,
)

RECALL = Task("recall", english.INSTRUCTION, english.QUESTION, metric="value", max_new_tokens=16)
RECALL_ABSENT = Task(
    "recall_absent", english.INSTRUCTION, english.QUESTION, metric="absent", max_new_tokens=16
)

# Half the facts are offices. Near the limit, one more or less leaves room that fillers fill to the token.
SHIFTS = (0, -1, 1, -2, 2, -3, 3, *range(-4, -13, -1))


def recall(
    count_tokens: CountTokens,
    *,
    seed: int = 0,
    length: int = 1200,
    facts: tuple[int, ...] = (10, 25, 50, 75, 100),
    samples: int = 100,
) -> list[TaskSet]:
    """`samples` examples for each number of facts, 70 % of them with an answer; the bucket is that number.

    `length` is the prompt's, in tokens. ValueError if so many facts do not fit, saying how many do.
    """
    check_numbers("recall: facts", facts, 1)
    check_numbers("recall: samples", (samples,), 1)
    counts = TokenCounts(count_tokens)
    most = _most_facts(counts, length)
    if max(facts) > most:
        raise ValueError(
            f"recall: {max(facts)} facts do not fit in {length} tokens: for this reader {most} do"
        )
    sketches = [(index, _sketch(counts, seed, length, n, index)) for n in facts for index in range(samples)]
    return task_sets(RECALL, RECALL_ABSENT, sketches)


@dataclass(frozen=True)
class Fact:
    person: str
    relation: str
    value: str

    @property
    def sentence(self) -> str:
        return RELATIONS[self.relation][0].format(self.person, self.value)


def _shared(n: int) -> int:
    """How many of n facts reuse a person: 30 %, rounded down so that somebody lacks the other relation."""
    return n * 3 // 10


def _most_facts(counts: TokenCounts, length: int) -> int:
    def kind(relation: str) -> Spread:
        template, _, values = RELATIONS[relation]
        return counts.spread(lambda rng: template.format(rng.choice(english.NAMES), rng.choice(values)))

    office, works = kind("office"), kind("works")
    questions = [english.ASK_OFFICE.format(name) for name in english.NAMES[:50]]
    room = length - max(counts.count(RECALL.prompt("", question)) for question in questions)
    fit = most_that_fit(room, lambda n: [(n - n // 2, office), (n // 2, works)])
    while fit - _shared(fit) >= len(english.NAMES):  # a name is left for the question that has no answer
        fit -= 1
    return fit


def _draw_facts(rng: random.Random, n: int, offices: int) -> tuple[list[Fact], Sequence[str]]:
    """n facts, `offices` of them offices, no (person, relation) twice, and the names that are left over."""
    both = _shared(n)
    names = rng.sample(english.NAMES, len(english.NAMES))
    people, strangers = names[: n - both], names[n - both :]
    keys = [(person, relation) for person in people[:both] for relation in RELATIONS]
    keys += [(person, "office" if i < offices - both else "works") for i, person in enumerate(people[both:])]
    facts = [Fact(person, relation, rng.choice(RELATIONS[relation][2])) for person, relation in keys]
    return facts, strangers


def _asked(rng: random.Random, facts: list[Fact], strangers: Sequence[str], index: int) -> Fact:
    """The fact that the question is after; where it has no answer, its value is the no-answer word."""
    if not is_absent(index):
        return rng.choice(facts)
    if not is_hard(index):
        return Fact(strangers[0], rng.choice(list(RELATIONS)), english.NO_ANSWER)
    keys = {(fact.person, fact.relation) for fact in facts}
    missing = [(fact.person, relation) for fact in facts for relation in RELATIONS]
    return Fact(*rng.choice([key for key in missing if key not in keys]), english.NO_ANSWER)


def _draft(source: int, length: int, n: int, index: int, shift: int) -> tuple[Draft, Fact]:
    rng = random.Random(source)
    facts, strangers = _draw_facts(rng, n, (n + source % 2) // 2 + shift)
    asked = _asked(rng, facts, strangers, index)
    people = (*dict.fromkeys(fact.person for fact in facts), *strangers[:n])
    question = RELATIONS[asked.relation][1].format(asked.person)
    sentences = tuple(fact.sentence for fact in facts)
    return Draft(question, sentences, people, length, stable_seed("filler", source)), asked


def _sketch(counts: TokenCounts, seed: int, length: int, n: int, index: int) -> Sketch:
    source = stable_seed("recall", seed, length, n, index)
    task = RECALL_ABSENT if is_absent(index) else RECALL
    drafts = (_draft(source, length, n, index, shift) for shift in SHIFTS)
    fitting = (pair for pair in drafts if counts.fillable(room_for_filler(counts, task, pair[0])))
    draft, asked = next(fitting, None) or _draft(source, length, n, index, 0)
    name = f"recall-{length}-f{n}-s{seed}-{index:03d}"
    outline = Outline(name, str(n), (asked.value,), document=name)
    return Sketch(outline, partial(_example, counts, draft, asked, index, outline))


def _example(counts: TokenCounts, draft: Draft, asked: Fact, index: int, outline: Outline) -> Example:
    task, n = (RECALL_ABSENT if is_absent(index) else RECALL), len(draft.facts)
    passage = assemble(counts, task, draft, partial(shuffle, draft.facts))
    tags: dict[str, str | int | float] = {
        "facts": n,
        "facts_per_1000": round(1000 * n / passage.length, 1),
        "relation": asked.relation,
    }
    evidence: tuple[Span, ...] = ()
    if task is RECALL:
        evidence = (passage.spans[asked.sentence],)
        tags["depth"] = passage.depth(asked.sentence)
        tags["token"] = passage.position(counts, task, asked.sentence)
    else:
        tags["hard"] = int(is_hard(index))
    return Example(
        id=outline.id,
        context=passage.context,
        question=draft.question,
        answers=outline.answers,
        length=passage.length,
        bucket=outline.bucket,
        choices=RELATIONS[asked.relation][2],
        evidence=evidence,
        tags=tags,
    )
