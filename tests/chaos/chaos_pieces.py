"""The grid that the chaos runs answer: a scripted reader without torch, three methods, two tasks.

What the reader does wrong in one attempt stands in the environment (`CHAOS_READER`); each answer that a method gave
is noted in a file of its own, so that answers given again can be counted. Exercised by ``python -m tests.chaos``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "comparison"))

from comparison_fakes import FakeEngine

from benchmarks.base import Example, Task, TaskSet
from methods.base import Answer, Undefined

TASKS = ("left", "right")
EXAMPLES = 16


class Reader(FakeEngine):
    """Answers with the last word of what it is given, but for its fault: from its question number `at` on, `times`
    times; a reader that dies or hangs does so at the same question again."""

    reads = 0

    @classmethod
    def load(cls, name: str, **options: object) -> Reader:
        return cls()

    def read(self, context: str, question: str) -> str:
        self.go_wrong(question)
        self._cost.calls += 1
        self._cost.prompt_tokens += len(context.split())
        return context.split()[-1]

    def go_wrong(self, question: str) -> None:
        fault = json.loads(os.environ.get("CHAOS_READER", "null"))
        if fault is None:
            return
        self.reads += 1
        scratch = Path(os.environ["CHAOS"])
        fired = len(list(scratch.glob("reader-*")))
        if fired == fault["times"] or (not fired and self.reads < fault["at"]):
            return
        if fired and fault["kind"] in ("die", "hang") and question != (scratch / "reader-0").read_text():
            return
        (scratch / f"reader-{fired}").write_text(question)
        if fault["kind"] == "out of memory":
            raise MemoryError("CUDA out of memory: tried to allocate 2.00 GiB")
        if fault["kind"] == "NaN logits":
            raise ValueError("the reader answers NaN in float16: try --dtype bfloat16 or float32")
        if fault["kind"] == "hang":
            time.sleep(3600)
        os.kill(os.getpid(), signal.SIGKILL)


def note(method: object, question: str) -> None:
    """An answer was given: one line in a file that no fault touches."""
    descriptor = os.open(Path(os.environ["CHAOS"]) / "answers", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.write(descriptor, f"{type(method).__name__} {question}\n".encode())
    os.close(descriptor)


class Whole:
    """Always right: the last word of the context."""

    def __init__(self, engine: Reader) -> None:
        self.engine = engine

    def answer(self, context: str, question: str) -> Answer:
        said = self.engine.read(context, question)
        note(self, question)
        return Answer(
            said, spans=((0, len(context)),), details={"words": len(context.split()), "share": 1 / 3}
        )


class Half(Whole):
    """Reads the first half, so that it is seldom right."""

    def answer(self, context: str, question: str) -> Answer:
        said = self.engine.read(context[: len(context) // 2], question)
        note(self, question)
        return Answer(said)


class Key(Whole):
    """Sees the answer key, and is not defined for one bucket: an error that is final."""

    def answer(self, context: str, question: str, *, example: Example) -> Answer:
        note(self, question)
        if example.bucket == "3":
            raise Undefined("nothing in bucket 3")
        return Answer(example.answers[0])


def sides(count_tokens) -> list[TaskSet]:
    """Two tasks of sixteen examples, their contexts without and with repeated words."""
    sets = []
    for name in TASKS:
        examples = []
        for number in range(EXAMPLES):
            context = " ".join(f"word{(number * step) % 7}" for step in range(1, 9))
            examples.append(
                Example(
                    id=f"{name}-{number}",
                    context=context,
                    question=f"{name} {number}?",
                    answers=(context.split()[-1],),
                    length=count_tokens(context),
                    bucket=str(number % 4),
                    tags={"number": number},
                )
            )
        sets.append(TaskSet(Task(name, "Read.\n", "\nQ: {question} A:", "value", 8), examples))
    return sets
