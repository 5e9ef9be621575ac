"""Training text for the embedded model: endless, seeded, in the suite's own English.

Not a benchmark. A lesson is a prompt with many questions (each followed by its answer), as token ids with a target
where the loss counts. The same text serves many questions, drawn *with* replacement: without it the answers leak by
elimination. Texts are cut at both ends like the chunks of a long context. Used by ``python -m models.tiny.train``.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks import english

IGNORE = -100
KEY, VALUE, QUESTION, A, B = -1, -2, -3, -4, -5  # no token has such an id
SLOTS = {"{0}": KEY, "{1}": VALUE, "{question}": QUESTION, "{a}": A, "{b}": B}
COIN_WEIGHT = 0.5  # for a pair where neither passage is relevant: keeps the judge undecided


@dataclass(frozen=True)
class Lesson:
    """`targets[i]` is the token to predict after `ids[i]`, or IGNORE; `weights[i]` its share in the loss;
    `traces[i]` the letter of the passage that `ids[i]` closes a sentence of, or IGNORE."""

    ids: list[int]
    targets: list[int]
    weights: list[float]
    traces: list[int]


@dataclass(frozen=True)
class Sentence:
    """Token ids; for a fact also its key (relation and asked-by word) and its value's id, with their positions."""

    ids: list[int]
    key: tuple[str, int] | None = None
    value: int = -1
    key_at: int = 0
    value_at: int = 0


@dataclass(frozen=True)
class Text:
    """A cut piece of text: what can be asked of it, what is named in it without an answer, where sentences end."""

    ids: list[int]
    present: dict[tuple[str, int], int]
    tempting: list[tuple[str, int]]
    ends: list[int]


class Teacher:
    """Writes lessons with the ids of one tokenizer.

    `word_ids` maps every lower-cased word to its id; `pair_prompt` is the pairwise prompt with the slots
    ``{a}``, ``{b}`` and ``{question}``; `end` is the id that closes an answer.
    """

    def __init__(self, word_ids: Mapping[str, int], pair_prompt: str, end: int) -> None:
        self.word_ids = word_ids
        self.end = end
        self.error = word_ids[english.NO_ANSWER.lower()]
        self.letters = (word_ids["a"], word_ids["b"])
        self.names = self._many(english.NAMES)
        self.jobs = self._many(english.JOBS)
        self.values = {"office": self._many(english.CITIES), "works": self._many(english.FIELDS)}
        self.facts = {
            "office": self.encode(english.OFFICE),
            "works": self.encode(english.WORKS),
            "called": self.encode(english.CALLED),
            "dense": self.encode("{0} is in {1}"),
        }
        self.link = self.encode("is in")  # between the two steps of a two-hop answer
        self.asks = {
            "office": self.encode(english.ASK_OFFICE),
            "works": self.encode(english.ASK_WORKS),
            "called": self.encode(english.ASK_OFFICE_OF_JOB),
            "dense": self.encode("{0}?"),
        }
        self.instruction = self.encode(english.INSTRUCTION)
        self.question = self.encode(english.QUESTION)
        self.pair = self.encode(pair_prompt)

    def encode(self, template: str) -> list[int]:
        """Ids of a template; a slot becomes its negative number."""
        for mark in (".", ",", ":", "?"):
            template = template.replace(mark, f" {mark} ")
        return [SLOTS.get(word) or self.word_ids[word.lower()] for word in template.split()]

    def _many(self, words: Sequence[str]) -> list[int]:
        return [self.word_ids[word.lower()] for word in words]

    # -- sentences ----------------------------------------------------------------------------------------------

    def fact(self, relation: str, key: int, value: int) -> Sentence:
        template = self.facts[relation]
        ids = [key if i == KEY else value if i == VALUE else i for i in template]
        return Sentence(ids, (relation, key), value, template.index(KEY), template.index(VALUE))

    def filler(self, rng: random.Random, names: Sequence[int]) -> Sentence:
        named = bool(names) and rng.random() < english.PERSON_SHARE
        text = english.filler(rng, person=english.NAMES[0] if named else None)
        ids = self.encode(text)
        if named:
            placeholder = self.names[0]
            name = rng.choice(names)
            return Sentence([name if i == placeholder else i for i in ids], ("named", name))
        return Sentence(ids)

    def facts_about(self, rng: random.Random, count: int, relations: int) -> list[Sentence]:
        """`count` facts; with two relations 30 % of them name a person again, under the other relation."""
        pool = rng.sample(self.names, min(count, len(self.names)))
        used: dict[int, str] = {}
        sentences = []
        for _ in range(count):
            single = [name for name, relation in used.items() if relation] if relations == 2 else []
            if single and rng.random() < 0.3:
                name = rng.choice(single)
                relation = "works" if used[name] == "office" else "office"
                used[name] = ""
            else:
                name = pool.pop()
                relation = rng.choice(("office", "works")) if relations == 2 else "office"
                used[name] = relation
            sentences.append(self.fact(relation, name, rng.choice(self.values[relation])))
        return sentences

    def chains(self, rng: random.Random, persons: int) -> list[list[Sentence]]:
        """For each person a job and an office, side by side, or, for one in five, anywhere."""
        names, jobs = rng.sample(self.names, persons), rng.sample(self.jobs, persons)
        groups: list[list[Sentence]] = []
        for name, job in zip(names, jobs, strict=True):
            pair = [
                self.fact("called", job, name),
                self.fact("office", name, rng.choice(self.values["office"])),
            ]
            groups += [[one] for one in pair] if rng.random() < 0.2 else [pair]
        return groups

    # -- texts --------------------------------------------------------------------------------------------------

    def text(
        self,
        rng: random.Random,
        groups: list[list[Sentence]],
        fillers: int,
        *,
        window: int = 0,
        cut: float = 0.4,
    ) -> Text:
        """Shuffle groups and fillers into a text; cut a window of that many tokens out of it, or ragged ends."""
        names = [s.key[1] for group in groups for s in group if s.key and s.key[0] != "called"]
        names += self.names[:50]
        groups = groups + [[self.filler(rng, names)] for _ in range(fillers)]
        rng.shuffle(groups)
        sentences = [sentence for group in groups for sentence in group]
        length = sum(len(sentence.ids) for sentence in sentences)
        start, stop = 0, length
        if window and length > window:
            start = rng.randrange(length - window + 1)
            stop = start + window
        elif sentences and rng.random() < cut:
            start = rng.randrange(len(sentences[0].ids))
            stop = max(start, length - rng.randrange(len(sentences[-1].ids)))
        return _cut(sentences, start, stop)

    # -- lessons ------------------------------------------------------------------------------------------------

    def dense_lesson(self, rng: random.Random, facts: int, names: int, questions: int) -> Lesson:
        """Bare "N is in C" pairs: where the binding of name to value is first learned."""
        pool = rng.sample(self.names[:names], facts)
        groups = [[self.fact("dense", name, rng.choice(self.values["office"]))] for name in pool]
        return self._ask(rng, self.text(rng, groups, 0, cut=0.0), questions, absent=0.0)

    def fact_lesson(
        self,
        rng: random.Random,
        facts: int,
        fillers: int,
        questions: int,
        *,
        relations: int = 2,
        absent: float = 0.35,
        window: int = 0,
    ) -> Lesson:
        """Facts among fillers, asked one by one; the share `absent` has no answer in the text."""
        groups = [[fact] for fact in self.facts_about(rng, facts, relations)]
        return self._ask(rng, self.text(rng, groups, fillers, window=window), questions, absent=absent)

    def hop_lesson(
        self, rng: random.Random, persons: int, fillers: int, questions: int, *, window: int = 0
    ) -> Lesson:
        """Two hops: the office of the person who holds a job, answered as "alden is in paris"."""
        groups = self.chains(rng, persons)
        return self._ask(
            rng, self.text(rng, groups, fillers, window=window), questions, absent=0.3, hops=True
        )

    def dense_pair_lesson(self, rng: random.Random, facts: int, names: int, questions: int) -> Lesson:
        """Two passages of bare "N is in C" pairs: where the binding of name to passage is first learned."""
        pool = rng.sample(self.names[:names], 2 * facts)
        sentences = [[self.fact("dense", name, rng.choice(self.values["office"]))] for name in pool]
        texts = [self.text(rng, part, 0, cut=0.0) for part in (sentences[:facts], sentences[facts:])]
        return self._ask_pair(rng, texts, questions, coins=0.0)

    def pair_lesson(self, rng: random.Random, facts: int, fillers: int, questions: int) -> Lesson:
        """Two passages, asked which one is more relevant; where neither is, the label is a coin."""
        sentences = [[fact] for fact in self.facts_about(rng, 2 * facts, 2)]
        rng.shuffle(sentences)
        cut = 0.4 if facts > 2 else 0.0
        texts = [self.text(rng, part, fillers, cut=cut) for part in (sentences[:facts], sentences[facts:])]
        return self._ask_pair(rng, texts, questions, coins=0.15)

    def _ask_pair(self, rng: random.Random, texts: Sequence[Text], questions: int, *, coins: float) -> Lesson:
        """`texts` are passages A and B; the last two tokens of their sentences are traced."""
        ids: list[int] = []
        traced: dict[int, int] = {}
        tail = self.pair.index(B) + 1
        for token in self.pair[:tail]:
            if token in (A, B):
                side = 0 if token == A else 1
                for end in texts[side].ends:
                    traced[len(ids) + end - 1] = traced[len(ids) + end - 2] = self.letters[side]
                ids += texts[side].ids
            else:
                ids.append(token)
        lesson = _without_questions(ids, [traced.get(i, IGNORE) for i in range(len(ids))])
        for _ in range(questions):
            side = rng.randrange(2)
            if texts[side].present and rng.random() >= coins:
                key, weight = rng.choice(sorted(texts[side].present)), 1.0
            else:
                key, weight = (rng.choice(("office", "works")), rng.choice(self.names)), COIN_WEIGHT
            self._append(lesson, self.pair[tail:], key, [self.letters[side]], weight)
        return lesson

    def _ask(
        self, rng: random.Random, text: Text, questions: int, *, absent: float, hops: bool = False
    ) -> Lesson:
        dense = any(relation == "dense" for relation, _ in text.present)
        ids = list(text.ids) if dense else self.instruction + text.ids
        lesson = _without_questions(ids, [IGNORE] * len(ids))
        present = {key: [value] for key, value in text.present.items() if key[0] != "called"}
        direct, chained = sorted(present), []
        if hops:
            present |= self._chained(text)
            chained = sorted(key for key in present if key[0] == "called")
        wording = [QUESTION, *self.encode("Answer:")] if dense else self.question
        for _ in range(questions):
            keys = chained if chained and rng.random() < 0.8 else direct
            if keys and rng.random() >= absent:
                key = rng.choice(keys)
                answer = present[key]
            elif hops:
                key, answer = self._absent_job(rng, text), [self.error]
            elif dense:
                continue
            else:
                key, answer = self._absent_key(rng, text), [self.error]
            self._append(lesson, wording, key, answer)
        return lesson

    def _chained(self, text: Text) -> dict[tuple[str, int], list[int]]:
        """The jobs whose person's office is in the text as well, with the answer: both of its steps, linked."""
        chains = {}
        for key, person in text.present.items():
            if key[0] == "called" and ("office", person) in text.present:
                chains[key] = [person, *self.link, text.present["office", person]]
        return chains

    def _append(
        self, lesson: Lesson, wording: list[int], key: tuple[str, int], answer: list[int], weight: float = 1.0
    ) -> None:
        """Add one question and its answer, whose tokens and closing end are what the loss counts."""
        asked = [key[1] if i == KEY else i for i in self.asks[key[0]]]
        prompt = [i for token in wording for i in (asked if token == QUESTION else [token])]
        goal = [*answer, self.end]
        lesson.ids.extend(prompt + goal)
        lesson.targets.extend([IGNORE] * (len(prompt) - 1) + goal + [IGNORE])
        lesson.weights.extend([weight] * (len(prompt) + len(goal)))
        lesson.traces.extend([IGNORE] * (len(prompt) + len(goal)))

    def _absent_key(self, rng: random.Random, text: Text) -> tuple[str, int]:
        """A question without an answer: half of them name somebody whom the text names in another way."""
        while True:
            if text.tempting and rng.random() < 0.5:
                relation, name = rng.choice(text.tempting)
            else:
                relation, name = rng.choice(("office", "works")), rng.choice(self.names)
            if (relation, name) not in text.present:
                return relation, name

    def _absent_job(self, rng: random.Random, text: Text) -> tuple[str, int]:
        known = {name for relation, name in text.present if relation == "called"}
        known |= {name for relation, name in text.tempting if relation == "called"}
        while True:
            job = rng.choice(self.jobs)
            if job not in known:
                return "called", job


def _without_questions(ids: list[int], traces: list[int]) -> Lesson:
    return Lesson(ids, [IGNORE] * len(ids), [1.0] * len(ids), traces)


def _cut(sentences: Sequence[Sentence], start: int, stop: int) -> Text:
    """The tokens start..stop, with the facts that are wholly readable there and the keys that only tempt."""
    ids: list[int] = []
    present: dict[tuple[str, int], int] = {}
    named: list[tuple[str, int]] = []
    ends: list[int] = []
    position = 0
    for sentence in sentences:
        size = len(sentence.ids)
        first, last = max(start - position, 0), min(stop - position, size)
        position += size
        if first >= last:
            continue
        ids += sentence.ids[first:last]
        if last == size and last - first >= 2:
            ends.append(len(ids))
        if not sentence.key:
            continue
        if sentence.key[0] == "named":
            named.append(sentence.key)
        elif first <= sentence.key_at < last:
            if sentence.value_at < last:
                present[sentence.key] = sentence.value
            else:
                named.append(sentence.key)
    tempting = []
    for relation, name in named + list(present):
        others = (relation,) if relation in ("called", "dense") else ("office", "works")
        tempting += [(other, name) for other in others if (other, name) not in present]
    return Text(ids, present, tempting, ends)
