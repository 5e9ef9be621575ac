"""What a benchmark hands over: tasks, their wording, and examples with the answer key.

Torch-free and tokenizer-free. A benchmark is a factory
``factory(count_tokens, *, seed=0, **options) -> Iterable[TaskSet]``: `count_tokens` is the reader's, so that
lengths mean the same for the benchmark and for the method, and the options are typed by its signature. A
signature that takes `data_dir` is told the folder of ``--data-dir``, one that takes `reader` the reader's name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Literal, NamedTuple, TypeVar

from benchmarks import english, metrics
from benchmarks.qa_metrics import normalise

CountTokens = Callable[[str], int]
Span = tuple[int, int]
Value = TypeVar("Value")
Gather = Literal["best", "each", "last"]
"""How a method that reads chunk by chunk makes one answer of them, as OPRM (arXiv 2505.07793) does: from the
best chunk; from each, joined by newlines (a summary); from the last tokens of the context alone (a line of
code that goes on)."""


def digest(*parts: str) -> str:
    """Sixteen hex digits of a SHA-256 over the parts; never Python's `hash`, which changes with every process."""
    joined = "\x1f".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(joined).hexdigest()[:16]


def stable_seed(*parts: object) -> int:
    """A 64-bit seed from stable ids, the same on every machine and in every process."""
    return int(digest(*(str(part) for part in parts)), 16)


def look_up(kind: str, name: str, known: Mapping[str, Value]) -> Value:
    """What is known by a name. ValueError with the nearest match for another name."""
    if name not in known:
        near = get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}"
        raise ValueError(f"unknown {kind} {name!r}: {hint}")
    return known[name]


@dataclass(frozen=True)
class Example:
    """One question with its context and its answer key.

    `length` is in the benchmark's own unit; `cluster` names what makes examples dependent (a shared document);
    `evidence` holds character spans of the gold facts in `context`; `bucket` is the row of the report that the
    example belongs to (number of facts, length, hops); `choices` lists every value the answer could have been;
    `slots` are further texts that the task's wording has places for (the options of a choice).
    """

    id: str
    context: str
    question: str
    answers: tuple[str, ...]
    length: int
    bucket: str
    choices: tuple[str, ...] = ()
    evidence: tuple[Span, ...] = ()
    cluster: str = ""
    tags: Mapping[str, str | int | float] = field(default_factory=dict)
    slots: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """ValueError for `answers` that are a bare text: each of its letters would be one."""
        if isinstance(self.answers, str):
            raise ValueError(
                f"the answers of example {self.id} are the text {self.answers!r}: expected a tuple of texts"
            )
        if not self.cluster:
            object.__setattr__(self, "cluster", digest(self.context))


@dataclass(frozen=True)
class Task:
    """The wording and the rules of one task, shared by every method.

    A prompt is `before`, the context, then `after`, in which ``{question}`` is the question's slot and
    ``{clause}`` the place of the no-answer clause (OPRM's rows only, unless the synthetic wording already
    carries it in `before`). Each of an example's own `slots` has a place of its name in braces.

    Before it is scored, a prediction is cut to its first line where `first_line` says so (leading line breaks
    are dropped, blanks are not, as LongBench does), and one that is `renamed[0]` but for case, punctuation and
    articles counts as `renamed[1]` (OPRM's no-answer word in a set that has a word of its own for that).

    `second` is the second of two turns: its context is the method's answer to the first (a chain of thought),
    and what the reader makes of it is the prediction.
    """

    name: str
    before: str
    after: str
    metric: str
    max_new_tokens: int
    no_answer_clause: str = ""
    stop: tuple[str, ...] = ("\n",)
    chat: bool = True
    retrievable: bool = True
    revision: str = "1"
    gather: Gather = "best"
    first_line: bool = False
    renamed: tuple[str, str] | None = None
    slots: Mapping[str, str] = field(default_factory=dict)
    second: Task | None = None

    def __post_init__(self) -> None:
        """ValueError for a `stop` that is a bare text: every letter of it would stop an answer."""
        if isinstance(self.stop, str):
            raise ValueError(
                f"the stop of task {self.name} is the text {self.stop!r}: expected a tuple of texts, ({self.stop!r},)"
            )

    @property
    def asks(self) -> bool:
        """Whether the wording has a place for the question, so that an example must have one."""
        return "{question}" in self.before + self.after

    def about(self, example: Example) -> Task:
        """The task in the wording of one example: with its slots filled."""
        return replace(self, slots=example.slots) if example.slots else self

    def wrap(self, question: str, *, clause: bool = False) -> tuple[str, str]:
        """The text before and after the context. Slots are filled once: braces in the data are harmless."""
        if not question and self.asks:
            raise ValueError(f"task {self.name} needs a question and this example has none")
        fills = {"question": question, "clause": self.no_answer_clause if clause else "", **self.slots}
        marks = {f"{{{name}}}": text for name, text in fills.items()}
        return _fill_once(self.before, marks), _fill_once(self.after, marks)

    def prompt(self, context: str, question: str, *, clause: bool = False) -> str:
        """The whole prompt for one piece of context."""
        before, after = self.wrap(question, clause=clause)
        return before + context + after

    def score(self, prediction: str, example: Example) -> float:
        """The task's metric, 0 to 1, best over the reference answers."""
        return metrics.score(self.metric, self.graded(prediction), example.answers, example.choices)

    def graded(self, prediction: str) -> str:
        """The part of a prediction that the metric sees."""
        if self.renamed and normalise(prediction) == normalise(self.renamed[0]):
            prediction = self.renamed[1]
        return prediction.lstrip("\n").split("\n")[0] if self.first_line else prediction


def _fill_once(template: str, fills: Mapping[str, str]) -> str:
    """Replace the slots in one pass from the left, so that a filled-in text is never searched again."""
    return re.sub("|".join(map(re.escape, fills)), lambda found: fills[found[0]], template)


class Outline(NamedTuple):
    """What is known of an example without its text.

    `document` names what the example shares with others (its cluster), as far as that is known; whoever names
    it vouches for the text, which is then not read before it is asked for.
    """

    id: str
    bucket: str
    answers: tuple[str, ...]
    document: str = ""


@dataclass(frozen=True)
class TaskSet:
    """A task, its examples, and whether its rows enter the confirmatory mean (absent-answer tasks do not).

    `examples` may be read from disk or made when they are asked for (`benchmarks.stored`,
    `benchmarks.generated`); `left_out` has a line "FILE:LINE: why" for every row of the data that is no example;
    `note` is what else the plan says of the data: that they come from elsewhere, what beside them is not read.
    """

    task: Task
    examples: Sequence[Example]
    confirmatory: bool = True
    left_out: Sequence[str] = ()
    note: str = ""

    @property
    def outlines(self) -> Sequence[Outline]:
        """All examples in order; none is read or made for it where they wait to be asked for."""
        there = getattr(self.examples, "outlines", None)
        return there or [Outline(one.id, one.bucket, one.answers) for one in self.examples]


PLAIN_QA = Task("question", english.INSTRUCTION, english.QUESTION, metric="value", max_new_tokens=32)
