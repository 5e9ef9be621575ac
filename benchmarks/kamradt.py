"""Kamradt's needle test (github.com/gkamradt/LLMTest_NeedleInAHaystack): a sentence on San Francisco in essays.

The needle, the question and the placement are the original's: at the depth, moved back to the last full stop.
Deviations: a hit is an answer with every keyword group ("sandwich", "dolores park"), not a judge's mark of 10; cuts
fall between words, not tokens; a length counts the whole prompt, without the original's 200 spare tokens; the
three messages of the original are one prompt; at most 64 new tokens, not 300. The essays are the user's:
``haystack=DIR``. Exercised by ``python run_compare.py --benchmark "kamradt:haystack=DIR,lengths=1k;4k;16k"``.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.base import CountTokens, Example, Outline, Span, Task, TaskSet, stable_seed
from benchmarks.generated import GeneratedExamples, Sketch
from benchmarks.haystack import fit_needle, haystack_revision, hide, read_folder, repeat
from benchmarks.passages import check_numbers

NEEDLE = "\nThe best thing to do in San Francisco is eat a sandwich and sit in Dolores Park on a sunny day.\n"
QUESTION = "What is the best thing to do in San Francisco?"
KEYWORDS = ("sandwich", "dolores park")
WORD = re.compile(r"\S+\s*")
STOP = re.compile(r"\.[\"'”’)\]]*\s*$")


def kamradt(
    count_tokens: CountTokens,
    *,
    haystack: Path,
    seed: int = 0,
    lengths: tuple[int, ...] = (1000, 2000, 4000, 8000, 16000),
    depths: tuple[int, ...] = (0, 25, 50, 75, 100),
    samples: int = 10,
) -> list[TaskSet]:
    """`samples` examples for each length (tokens of the whole prompt) and depth (percent); the bucket is the
    length. The first sample of a cell begins where the texts begin, as the original does, the others at a
    random sentence; what begins at the same word is one haystack, hence one cluster. ValueError where there is
    no haystack or a length is too short."""
    check_numbers("kamradt: lengths", lengths, 1)
    check_numbers("kamradt: depths", depths, 0, 100)
    check_numbers("kamradt: samples", (samples,), 1)
    text = read_folder("kamradt", haystack)
    words = WORD.findall(text.strip() + "\n")
    task = Task(
        name="kamradt",
        before="You are a helpful AI bot that answers questions for a user. Keep your response short and direct\n\n",
        after="\n\n{question} Don't give information outside the document or repeat your findings",
        metric="keywords",
        max_new_tokens=64,
        stop=(),
        revision=f"1-{haystack_revision(text)}",
    )
    starts = [0, *(place + 1 for place, word in enumerate(words[:-1]) if STOP.search(word))]
    essays = _Essays(count_tokens, task, words, starts, seed)
    essays.sketch(min(lengths), depths[0], 0).make()  # a length too short is refused before it is asked for
    cells = [(length, depth) for length in lengths for depth in depths]
    sketches = (essays.sketch(*cell, index) for cell in cells for index in range(samples))
    return [TaskSet(task, GeneratedExamples(sketches))]


@dataclass(frozen=True)
class _Essays:
    """The generator: the words of the texts, white space included, and the words that begin a sentence."""

    count_tokens: CountTokens
    task: Task
    words: Sequence[str]
    starts: Sequence[int]
    seed: int

    def sketch(self, length: int, depth: int, index: int) -> Sketch:
        name = f"kamradt-{length}-d{depth}-s{self.seed}-{index:03d}"
        rng = random.Random(stable_seed("kamradt", self.seed, length, depth, index))
        start = rng.choice(self.starts) if index else 0
        outline = Outline(name, str(length), KEYWORDS, document=f"kamradt-{self.task.revision}-{start}")
        return Sketch(outline, partial(self._example, outline, length, depth, start))

    def _example(self, outline: Outline, length: int, depth: int, start: int) -> Example:
        def inside(number: int) -> tuple[str, Span]:
            pieces = repeat(self.words, number, start)
            place = _place(pieces, depth)
            return hide("".join(pieces[:place]), NEEDLE, "".join(pieces[place:]), "")

        def behind(number: int) -> str:
            return "".join(repeat(self.words, number, start)) + NEEDLE

        context, span = fit_needle("kamradt", length, self._tokens, behind, inside)
        return Example(
            id=outline.id,
            context=context,
            question=QUESTION,
            answers=outline.answers,
            length=self._tokens(context),
            bucket=outline.bucket,
            cluster=outline.document,
            evidence=((span[0] + 1, span[1] - 1),),
            tags={
                "length": length,
                "depth": depth,
                "token": self.count_tokens(self.task.before + context[: span[0]]),
            },
        )

    def _tokens(self, context: str) -> int:
        return self.count_tokens(self.task.prompt(context, QUESTION))


def _place(words: Sequence[str], depth: int) -> int:
    """The place at the depth, moved back to the word with the last full stop before it; 0 where there is
    none, as in the original."""
    if depth == 100:
        return len(words)
    place = len(words) * depth // 100
    while place and not STOP.search(words[place - 1]):
        place -= 1
    return place
