"""What the conformance kit asks a method: two questions with their texts, put as the runner puts them, while nothing
that a method leaves behind in the process or in the engine reaches the next question.

Exercised by ``python -m methods check oprm``.
"""

from __future__ import annotations

import copy
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmarks.base import PLAIN_QA, Example, Task, digest
from methods.base import Answer
from methods.contract import ask

if TYPE_CHECKING:
    from models.engine import Engine

TASK = replace(
    PLAIN_QA, name="conformance", max_new_tokens=16, after="\n\n{hint}Question: {question} Answer:"
)
"""How the questions are worded; the hint is a slot that the examples fill."""
SUMMARY = replace(TASK, before="Read the text.\n\n", after="\n\nSummary:", retrievable=False)
"""A task that has no question."""
OPEN = tuple(
    Task("open", "", after, "value", 16, stop=())
    for after in ("\n\nQuestion: {question} The", "\n{question}", " We", "\n")
)
"""Wordings that a reader goes on from for more than a word, where nothing stops it."""
UNICODE = {
    "emoji of several characters": "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽",
    "combining marks": "e\u0301 a\u030a\u0323 n\u0303\u0303\u0303",
    "Chinese and Japanese without blanks": "漢字とかなの文章。中文句子没有空格。",
    "text from right to left": "\u202eשלום\u202c مرحبا",
    "lone line breaks": "\r\n\n\r\u2028\u2029\x0b\x0c one",
    "invisible and control characters": "\u200b\ufeff\u00a0\x00\x07\x1b[31m𝔘",
}
"""What real documents hold."""
_FIELDS = ("banking", "music", "zoology", "shipping", "sociology", "tourism", "botany", "farming")
_NAMES = ("Alden", "Rupert", "Lance", "Edmund", "Eleanor", "Jeffrey", "Astrid", "Boris", "Celia", "Dirk")
_FILLER = "Nobody admired the quiet river behind the garden. We visited the dusty harbour in the evening."


def example(shift: int) -> Example:
    """Ninety sentences on ten persons, 700 tokens of the embedded reader; another `shift`, other facts."""
    facts = [f"{name} works in {_FIELDS[(n + shift) % 8]}." for n, name in enumerate(_NAMES)]
    text = " ".join(f"{fact} {_FILLER}" for fact in facts * 3)
    asked = 3 + shift
    start = text.index(facts[asked])
    return Example(
        id=f"conformance-{shift}",
        context=text,
        question=f"Which field employs {_NAMES[asked]}?",
        answers=(_FIELDS[(asked + shift) % 8],),
        length=len(text.split()),
        bucket="all",
        evidence=((start, start + len(facts[asked])),),
        tags={"persons": len(_NAMES)},
        slots={"hint": "One word. "},
    )


@dataclass(frozen=True)
class Trial:
    """A method under test: `build` makes a new one for the engine; `elsewhere` gives the answers of another
    process (`Trial.answers`), None where there is no such process."""

    engine: Engine
    build: Callable[[], Any]
    elsewhere: Callable[[], list[str]] | None = None

    def ask(self, method: Any, one: Example, task: Task = TASK, *, seed: int = 0) -> Any:
        """`contract.ask` in a process that is left as it was found; `seed` is that of the global generators. The
        example is a copy, which the method may spoil."""
        with self.shelter(seed):
            return ask(method, copy.deepcopy(task), copy.deepcopy(one))

    def answers(self) -> list[str]:
        """The answers to the kit's questions by a new method, as comparable texts."""
        method = self.build()
        return [comparable(self.ask(method, example(shift))) for shift in (0, 1)]

    @contextmanager
    def shelter(self, seed: int = 0) -> Iterator[None]:
        """Sets the global generators, and sets everything of `global_state` and the engine's own fields back
        at the end."""
        before, fields = global_state(), dict(vars(self.engine))
        _seed(seed)
        try:
            yield
        finally:
            for name, (_, set_back) in _globals().items():
                set_back(before[name])
            vars(self.engine).clear()
            vars(self.engine).update(fields)
            self.engine.model.eval()

    def engine_state(self) -> dict[str, Any]:
        """What a method must leave alone in the engine: its settings, and what it reads from a prompt."""
        engine = self.engine
        logits = engine.prefill([engine.encode(TASK.before + _FILLER)]).logits
        return {
            "window": engine.window,
            "batch_tokens": engine.batch_tokens,
            "spec": engine.spec,
            "eos_ids": frozenset(engine.eos_ids),
            "mode (train or eval)": engine.model.training,
            "logits of a prompt": digest(logits.cpu().numpy().tobytes().hex()),
        }


def comparable(given: Any) -> str:
    """An answer as a text that is equal for equal answers."""
    if not isinstance(given, Answer):
        return repr(given)
    details = json.dumps(given.details, sort_keys=True, default=repr)
    return repr((given.text, given.spans, details, given.truncated))


@contextmanager
def forwards(model: Any) -> Iterator[Counter[str]]:
    """Counts the forward calls of the reader and the tokens in them, whoever makes them."""
    counts: Counter[str] = Counter(calls=0, tokens=0)

    def enter(_: Any, inputs: tuple[Any, ...], given: dict[str, Any]) -> None:
        ids = given.get("input_ids", inputs[0] if inputs else None)
        counts["calls"] += 1
        counts["tokens"] += sum(given.get("lengths") or [0 if ids is None else ids.numel()])

    hook = model.register_forward_pre_hook(enter, with_kwargs=True)
    try:
        yield counts
    finally:
        hook.remove()


def global_state() -> dict[str, Any]:
    """Everything global that a method must leave as it was, by name."""
    return {name: read() for name, (read, _) in _globals().items()}


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names of what differs."""
    return [name for name in before if repr(before[name]) != repr(after[name])]


def _globals() -> dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]]:
    import numpy
    import torch

    return {
        "random's state": (random.getstate, random.setstate),
        "numpy's random state": (_numpy_state, numpy.random.set_state),
        "torch's random state": (
            lambda: torch.get_rng_state().numpy().tobytes(),
            lambda state: torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8)),
        ),
        "torch's gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
        "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
        "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
        "the working folder": (os.getcwd, os.chdir),
    }


def _numpy_state() -> tuple[Any, ...]:
    import numpy

    name, keys, *rest = numpy.random.get_state()
    return name, tuple(int(key) for key in keys), *rest


def _seed(seed: int) -> None:
    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)
