"""The passkey test: a key of up to five digits, stated twice, in noise or in the user's texts.

``variant=mohtashami`` is Mohtashami and Jaggi's (arXiv:2305.16300): five fixed sentences repeated, cut at the
character of the depth and begun anew behind the key (a ``haystack`` is cut between sentences and goes on), the
question after the text; right is an answer whose first number is the key. ``variant=decimamba`` is
DeciMamba's (arXiv:2406.14528): the question stands before the text and an answer cue after it, the key lies
between two whole sentences anywhere within ten points of its depth (a text without such a place begins
elsewhere), and right is an answer that has the key as one of its words; its texts (sentences of at least ten
tokens, WikiText-2's test split in the paper) come from ``haystack=DIR``, and its question's wording is ours,
since the file that holds it is not in its repository.
Exercised by ``python run_compare.py --benchmark "passkey:lengths=1k;2k;4k,depths=0;50;100"``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import accumulate
from pathlib import Path
from typing import Literal, get_args

from benchmarks.base import CountTokens, Example, Outline, Span, Task, TaskSet, stable_seed
from benchmarks.generated import GeneratedExamples, Sketch
from benchmarks.haystack import (
    NOISE,
    fit_needle,
    haystack_revision,
    hide,
    read_folder,
    repeat,
    split_sentences,
)
from benchmarks.passages import check_numbers
from benchmarks.sources import DataError

Variant = Literal["mohtashami", "decimamba"]
NEEDLE = "The pass key is {key}. Remember it. {key} is the pass key."
QUESTION = "What is the pass key?"
NEW_TOKENS = 10
WINDOW = 10  # points of depth on either side
BEGINNINGS = 50  # of the text that are tried before a depth is given up
LINE = " ".join(NOISE) + " "
SHORTEST = 10  # tokens of a sentence in DeciMamba's haystack
KEYS: dict[Variant, tuple[int, int]] = {"mohtashami": (1, 50_000), "decimamba": (10_000, 99_999)}
TASKS: dict[str, Task] = {
    "mohtashami": Task(
        name="passkey",
        before="There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will "
        "quiz you about the important information there.\n",
        after="\n{question} The pass key is",
        metric="infinitebench_passkey",
        max_new_tokens=NEW_TOKENS,
        stop=(),
        revision="2",  # 1 had five digits in every key, and whole sentences on either side
    ),
    "decimamba": Task(
        name="passkey_decimamba",
        before="{question}\n",
        after="\nAnswer: ",
        metric="blank_word",
        max_new_tokens=NEW_TOKENS,
        stop=(),
    ),
}


def passkey(
    count_tokens: CountTokens,
    *,
    seed: int = 0,
    variant: Variant = "mohtashami",
    lengths: tuple[int, ...] = (1000, 2000, 4000, 8000, 16000),
    depths: tuple[int, ...] = (0, 25, 50, 75, 100),
    samples: int = 10,
    haystack: Path | None = None,
) -> list[TaskSet]:
    """`samples` examples for each length (tokens of the whole prompt) and depth (percent); the bucket is the
    length. With `haystack` every example begins at a random sentence of the folder's texts. ValueError where a
    length is too short, where DeciMamba's window holds no slot, or where its haystack is missing."""
    if variant not in get_args(Variant):
        raise ValueError(f"passkey: variant={variant} is not one of {', '.join(get_args(Variant))}")
    check_numbers("passkey: lengths", lengths, 1)
    check_numbers("passkey: depths", depths, 0, 100)
    check_numbers("passkey: samples", (samples,), 1)
    task, sentences = TASKS[variant], []
    if haystack is not None:
        text = read_folder("passkey", haystack)
        sentences = split_sentences(text)
        task = replace(task, revision=f"{task.revision}-{haystack_revision(text)}")
    elif variant == "decimamba":
        raise DataError(
            "passkey: variant=decimamba hides its key in texts: name a folder of .txt files with haystack=DIR "
            "(the paper takes the test split of WikiText-2)"
        )
    passkeys = _Passkeys(count_tokens, task, sentences, variant, seed)
    for depth in depths:  # a length that is too short is refused before it is asked for
        passkeys.sketch(min(lengths), depth, 0).make()
    cells = [(length, depth) for length in lengths for depth in depths]
    sketches = (passkeys.sketch(*cell, index) for cell in cells for index in range(samples))
    return [TaskSet(task, GeneratedExamples(sketches))]


@dataclass(frozen=True)
class _Passkeys:
    """The generator; without `texts` its haystack is noise."""

    count_tokens: CountTokens
    task: Task
    texts: Sequence[str]
    variant: Variant
    seed: int

    @cached_property
    def costs(self) -> dict[str, int]:
        """The tokens of every sentence."""
        return {sentence: self.count_tokens(sentence) for sentence in dict.fromkeys(self.texts)}

    @cached_property
    def sentences(self) -> list[str]:
        if self.variant == "mohtashami":
            return list(self.texts)
        long = [sentence for sentence in self.texts if self.costs[sentence] >= SHORTEST]
        if not long:
            raise DataError(f"passkey: the haystack has no sentence of at least {SHORTEST} tokens")
        return long

    @property
    def separator(self) -> str:
        """The original's key has a line of its own, DeciMamba's stands among the sentences."""
        return "\n" if self.variant == "mohtashami" else " "

    def sketch(self, length: int, depth: int, index: int) -> Sketch:
        name = f"{self.task.name}-{length}-d{depth}-s{self.seed}-{index:03d}"
        key, _ = self._draw(length, depth, index)
        outline = Outline(name, str(length), (key,), document=name)
        return Sketch(outline, partial(self._example, outline, length, depth, index))

    def _draw(self, length: int, depth: int, index: int) -> tuple[str, random.Random]:
        """The key, and the source of everything that is drawn after it."""
        rng = random.Random(stable_seed(self.task.name, self.seed, length, depth, index))
        return str(rng.randint(*KEYS[self.variant])), rng

    def _example(self, outline: Outline, length: int, depth: int, index: int) -> Example:
        key, rng = self._draw(length, depth, index)
        needle = NEEDLE.format(key=key)
        drawn = (self._hide(needle, length, depth, rng) for _ in range(BEGINNINGS))
        found = next((one for one in drawn if one is not None), None)
        if found is None:
            raise ValueError(
                f"passkey: no border between two sentences lies within {WINDOW} points of depths={depth} at "
                f"lengths={length}: use longer lengths or texts with shorter sentences"
            )
        context, span = found
        before = self.task.wrap(QUESTION)[0] + context[: span[0]]
        return Example(
            id=outline.id,
            context=context,
            question=QUESTION,
            answers=outline.answers,
            length=self._tokens(context),
            bucket=outline.bucket,
            evidence=(span,),
            tags={"length": length, "depth": depth, "token": self.count_tokens(before.rstrip())},
        )

    def _hide(self, needle: str, length: int, depth: int, rng: random.Random) -> tuple[str, Span] | None:
        """A context (from a random sentence of the texts on) and where the needle is in it; None where it has no
        place."""
        if not self.texts:
            return self._hide_in_noise(needle, length, depth)
        start = rng.randrange(len(self.sentences))

        def inside(number: int) -> tuple[str, Span] | None:
            pieces = repeat(self.sentences, number, start)
            place = self._place(pieces, needle, depth, rng)
            if place is None:
                return None
            return hide(" ".join(pieces[:place]), needle, " ".join(pieces[place:]), self.separator)

        def behind(number: int) -> str:
            return hide(" ".join(repeat(self.sentences, number, start)), needle, "", self.separator)[0]

        return fit_needle("passkey", length, self._tokens, behind, inside)

    def _hide_in_noise(self, needle: str, length: int, depth: int) -> tuple[str, Span]:
        """The depth's share of the noise's characters before the needle, and the others, begun anew, behind it."""

        def inside(number: int) -> tuple[str, Span]:
            before = number * depth // 100
            noise = LINE * (number // len(LINE) + 1)
            span = (before + 1, before + 1 + len(needle))
            return f"{noise[:before]}\n{needle}\n{noise[: number - before]}", span

        return fit_needle("passkey", length, self._tokens, lambda number: inside(number)[0], inside)

    def _tokens(self, context: str) -> int:
        return self.count_tokens(self.task.prompt(context, QUESTION))

    def _place(self, pieces: Sequence[str], needle: str, depth: int, rng: random.Random) -> int | None:
        """The border between two sentences that is nearest to the depth, or one of those in the window."""
        ends = [0, *accumulate(self.costs[piece] for piece in pieces)]
        if self.variant == "mohtashami":
            return min(range(len(ends)), key=lambda place: abs(ends[place] - ends[-1] * depth / 100))
        key = self.count_tokens(needle)
        size = ends[-1] + key
        low, high = size * max(0, depth - WINDOW) // 100, size * min(100, depth + WINDOW) // 100 - key
        slots = [place for place, end in enumerate(ends[:-1]) if low <= end < high]
        return rng.choice(slots) if slots else None
