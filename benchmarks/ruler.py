"""RULER's eight needle tasks (arXiv:2404.06654), generated with the reader's own tokenizer.

One or more needles "One of the special magic numbers for KEY is: VALUE." lie in a haystack of noise, of essays or
of other needles, which is as long as the budget allows: prompt, needles and 128 new tokens together. Keys are
adjective-noun pairs of `wonderwords`' lists or UUIDs, values seven digits or UUIDs, the score is the share of the
asked values in the answer. The templates are RULER's (Apache-2.0); its other five tasks are not built. The essays
are the user's: ``haystack=DIR`` names a folder of .txt files (Paul Graham's essays in the original). Without it
niah_single_1, niah_multikey_2 and niah_multikey_3 run, and without `wonderwords` the last of these. Exercised by
``python run_compare.py --benchmark "ruler:lengths=4k;8k,tasks=niah_single_1;niah_multikey_3"``.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple

from benchmarks.base import CountTokens, Example, Outline, Span, Task, TaskSet, stable_seed
from benchmarks.generated import GeneratedExamples, Sketch
from benchmarks.haystack import NOISE, haystack_revision, most_units, read_folder, repeat, split_sentences
from benchmarks.passages import check_numbers, find_spans
from benchmarks.sources import DataError

NEW_TOKENS = 128
DEPTHS = tuple(round(100 * step / 39) for step in range(40))  # percent of the essay's sentences
Kind = Literal["words", "numbers", "uuids"]
Haystack = Literal["noise", "essays", "needles"]


@dataclass(frozen=True)
class Needles:
    """One task's setting: what the needles lie in, what their keys and values are, and how many are there:
    `keys` keys with `values` values each, `queries` keys asked."""

    haystack: Haystack
    key: Kind = "words"
    value: Kind = "numbers"
    keys: int = 1
    values: int = 1
    queries: int = 1

    @property
    def asked(self) -> int:
        return self.queries * self.values


TASKS: dict[str, Needles] = {
    "niah_single_1": Needles("noise"),
    "niah_single_2": Needles("essays"),
    "niah_single_3": Needles("essays", value="uuids"),
    "niah_multikey_1": Needles("essays", keys=4),
    "niah_multikey_2": Needles("needles"),
    "niah_multikey_3": Needles("needles", key="uuids", value="uuids"),
    "niah_multivalue": Needles("essays", values=4),
    "niah_multiquery": Needles("essays", keys=4, queries=4),
}


def ruler(
    count_tokens: CountTokens,
    *,
    seed: int = 0,
    tasks: tuple[str, ...] = tuple(TASKS),
    lengths: tuple[int, ...] = (4000, 8000, 16000),
    samples: int = 100,
    haystack: Path | None = None,
) -> list[TaskSet]:
    """`samples` examples a task and length (tokens of the prompt and of 128 new ones). The bucket is the length.

    Noise and essays are the same text in every example, as in the original. Each example is a cluster of its own
    all the same, so that an interval speaks of other needles and depths in this text, not of other texts.
    ValueError for an unknown task, a length too short, or essays or words that are not at hand.
    """
    check_numbers("ruler: lengths", lengths, 1)
    check_numbers("ruler: samples", (samples,), 1)
    _check_tasks(tasks, haystack)
    essays = read_folder("ruler", haystack) if haystack else ""
    return [_task_set(_Niah(name, essays, count_tokens, seed), lengths, samples) for name in tasks]


def _check_tasks(tasks: Sequence[str], haystack: Path | None) -> None:
    unknown = [name for name in tasks if name not in TASKS]
    if unknown or not tasks or len(set(tasks)) < len(tasks):
        given = unknown[0] if unknown else ";".join(tasks)
        raise ValueError(f"ruler: tasks={given} is not possible: name some of {', '.join(TASKS)}, each once")
    essays = [name for name in tasks if TASKS[name].haystack == "essays"]
    if essays and haystack is None:
        others = ";".join(name for name, one in TASKS.items() if one.haystack != "essays")
        raise DataError(
            f"ruler: the needles of {', '.join(essays)} lie in essays: name a folder of .txt files with "
            f"haystack=DIR, or ask for tasks={others}"
        )


def _task_set(niah: _Niah, lengths: Sequence[int], samples: int) -> TaskSet:
    niah.units(min(lengths))  # a length that is too short is refused before it is asked for
    sketches = (niah.sketch(length, index) for length in lengths for index in range(samples))
    return TaskSet(niah.task, GeneratedExamples(sketches))


class _Asked(NamedTuple):
    """What one example hides and asks, and the source of everything that is drawn after it."""

    pairs: list[tuple[str, str]]
    keys: list[str]
    rng: random.Random

    @property
    def answers(self) -> tuple[str, ...]:
        return tuple(value for asked in self.keys for key, value in self.pairs if key == asked)


@dataclass(frozen=True)
class _Niah:
    """The generator of one task."""

    name: str
    essays: str
    count_tokens: CountTokens
    seed: int
    _units: dict[int, int] = field(default_factory=dict)

    @property
    def setting(self) -> Needles:
        return TASKS[self.name]

    @property
    def in_essays(self) -> bool:
        """Whether the haystack's units are the essays' words, and not whole sentences."""
        return self.setting.haystack == "essays"

    @cached_property
    def task(self) -> Task:
        one = self.setting.asked == 1
        kind = self.setting.value[:-1] if one else self.setting.value
        hidden = f"A special magic {kind} is" if one else f"Some special magic {kind} are"
        drawn = "2" if self.setting.key == "words" else "1"  # 1 had words with a blank at their end
        return Task(
            name=self.name,
            before=f"{hidden} hidden within the following text. Make sure to memorize it. I will quiz you about "
            f"the {kind} afterwards.\n",
            after="\n{question}{cue}",
            metric="ruler",
            max_new_tokens=NEW_TOKENS,
            stop=(),
            revision=f"{drawn}-{haystack_revision(self.essays)}" if self.in_essays else drawn,
        )

    def sketch(self, length: int, index: int) -> Sketch:
        outline = self._outline(length, index)
        return Sketch(outline, partial(self._fit, outline, length, index))

    def _outline(self, length: int, index: int) -> Outline:
        name = f"{self.name}-{length}-s{self.seed}-{index:03d}"
        return Outline(name, str(length), self._ask(length, index).answers, document=name)

    def units(self, length: int) -> int:
        """Of a length's first example. ValueError where not even the fewest fit."""
        if length not in self._units:
            draw = partial(self._draw, self._outline(length, 0), length, 0)
            units = most_units(lambda n: draw(n).length, length - NEW_TOKENS)
            if units < self._fewest:
                least = draw(self._fewest).length + NEW_TOKENS
                raise ValueError(
                    f"ruler: lengths={length} is too short for {self.name}: for this reader it takes {least} tokens"
                )
            self._units[length] = units
        return self._units[length]

    def _fit(self, outline: Outline, length: int, index: int) -> Example:
        """Example `index`, with as many units as the first one, or fewer where its values take more tokens."""
        units = self.units(length)
        while True:
            example = self._draw(outline, length, index, units)
            over = example.length - (length - NEW_TOKENS)
            if over <= 0 or units <= self._fewest:
                before = self.task.before + example.context[: example.evidence[0][0]]
                return replace(example, tags={**example.tags, "token": self.count_tokens(before.rstrip())})
            units = max(self._fewest, units - max(1, over * units // example.length))

    @property
    def _fewest(self) -> int:
        """Every needle among repeated sentences has a place of its own."""
        return 0 if self.in_essays else self.setting.keys * self.setting.values

    def _ask(self, length: int, index: int) -> _Asked:
        rng = random.Random(stable_seed("ruler", self.name, self.seed, length, index))
        keys = _distinct(rng, self.setting.key, self.setting.keys)
        values = _distinct(rng, self.setting.value, self.setting.keys * self.setting.values)
        pairs = [(keys[i // self.setting.values], value) for i, value in enumerate(values)]
        return _Asked(pairs, rng.sample(keys, self.setting.queries), rng)

    def _draw(self, outline: Outline, length: int, index: int, units: int) -> Example:
        units = max(units, self._fewest)
        hidden = self._ask(length, index)
        asked = hidden.keys
        sentences = {self._sentence(*pair): pair[0] in asked for pair in hidden.pairs}
        taken = {text for pair in hidden.pairs for text in pair}
        context, spans = self._hide(list(sentences), units, hidden.rng, taken)
        kind = self.setting.value if self.setting.asked > 1 else self.setting.value[:-1]
        verb, which = ("are", "What are all") if self.setting.asked > 1 else ("is", "What is")
        query = f"{', '.join(asked[:-1])}, and {asked[-1]}" if len(asked) > 1 else asked[0]
        subject = f"the special magic {kind} for {query} mentioned in the provided text"
        question = f"{which} {subject}?"
        slots = {"cue": f" T{subject[1:]} {verb}"}
        return Example(
            id=outline.id,
            context=context,
            question=question,
            answers=outline.answers,
            length=self.count_tokens(replace(self.task, slots=slots).prompt(context, question)),
            bucket=outline.bucket,
            evidence=tuple(sorted(spans[text] for text, wanted in sentences.items() if wanted)),
            tags={"length": length, "units": units},
            slots=slots,
        )

    def _sentence(self, key: str, value: str) -> str:
        return f"One of the special magic {self.setting.value} for {key} is: {value}."

    def _hide(
        self, needles: list[str], units: int, rng: random.Random, taken: set[str]
    ) -> tuple[str, dict[str, Span]]:
        """The context of so many units, and where each needle stands in it."""
        rng.shuffle(needles)
        if self.in_essays:
            pieces = list(_essay_sentences(self.essays, units))
            places = sorted(len(pieces) * depth // 100 for depth in rng.sample(DEPTHS, len(needles)))
            separator = " "
        else:
            places = sorted(rng.sample(range(units), len(needles)))
            separator = "\n"
            pieces = [" ".join(NOISE)] * units
            if self.setting.haystack == "needles":
                pieces = [self._other(rng, taken) for _ in range(units)]
        for shift, (place, needle) in enumerate(zip(places, needles, strict=True)):
            pieces.insert(place + shift, needle)
        return separator.join(pieces), find_spans(pieces, set(needles))

    def _other(self, rng: random.Random, taken: set[str]) -> str:
        """A needle that nobody asks for."""
        return self._sentence(_new(rng, self.setting.key, taken), _new(rng, self.setting.value, taken))


@lru_cache(maxsize=4)
def _essay_sentences(essays: str, words: int) -> tuple[str, ...]:
    """The first words of the essays (which are repeated where they are too short), as sentences."""
    return tuple(split_sentences(" ".join(repeat(_essay_words(essays), words))))


@lru_cache(maxsize=1)
def _essay_words(essays: str) -> list[str]:
    return essays.split()


def _distinct(rng: random.Random, kind: Kind, number: int) -> list[str]:
    drawn: set[str] = set()
    return [_new(rng, kind, drawn) for _ in range(number)]


def _new(rng: random.Random, kind: Kind, taken: set[str]) -> str:
    """A key or value that was not drawn before, and is taken from now on."""
    drawn = ""
    while not drawn or drawn in taken:
        if kind == "words":
            drawn = "-".join(map(rng.choice, word_lists()))
        elif kind == "numbers":
            drawn = str(rng.randint(1_000_000, 9_999_999))
        else:
            drawn = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    taken.add(drawn)
    return drawn


@cache
def word_lists() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The adjectives and nouns of `wonderwords` (MIT), each once. `DataError` where it is not installed."""
    try:
        assets = files("wonderwords.assets")
    except ModuleNotFoundError as problem:
        raise DataError(
            "ruler: the keys are made of wonderwords' word lists: pip install wonderwords, or ask for "
            "tasks=niah_multikey_3, whose keys are UUIDs"
        ) from problem
    adjectives, nouns = (
        assets.joinpath(f"{name}list.txt").read_text(encoding="utf-8").splitlines()
        for name in ("adjective", "noun")
    )
    # Some have a blank at their end, which wonderwords' own reader drops, and are listed again without it.
    return tuple(dict.fromkeys(map(str.strip, adjectives))), tuple(dict.fromkeys(map(str.strip, nouns)))
