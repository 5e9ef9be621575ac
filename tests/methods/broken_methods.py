"""Methods that break the contract, each in one way, and one that keeps it: what the conformance kit is tried on."""

from __future__ import annotations

import os
import random
import time
from dataclasses import replace

import torch

from benchmarks.base import PLAIN_QA
from methods.base import Answer, Undefined
from methods.conformance import LARGEST_DETAILS


class Good:
    """Reads the beginning of the context, and keeps to the contract."""

    def __init__(self, engine):
        self.engine = engine

    def read(self, text, task):
        prompt = self.engine.encode(task.prompt(text, self.question))
        return self.engine.generate(prompt, task.max_new_tokens, stop=task.stop)

    def answer(self, context, question, *, task=PLAIN_QA):
        self.question = question
        if task.asks and not question.strip():
            raise Undefined("no question")
        return Answer(self.read(context[:300], task), spans=((0, min(300, len(context))),))


class NoAnswer:
    def __init__(self, engine):
        self.reply = engine


class OneArgument(Good):
    def answer(self, context):
        return context


class BreaksInItself:
    def __init__(self, engine):
        raise RuntimeError("cannot")


class Raises(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        raise KeyError("nothing\nwhere something was")


class Silent(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        super().answer(context, question, task=task)


class Scores(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        return replace(super().answer(context, question, task=task), text=1.0)


class NeedsItsTask(Good):
    def answer(self, context, question, *, task=None):
        return super().answer(context, question, task=replace(task))


class DrawsGlobally(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        given = super().answer(context, question, task=task)
        return replace(given, details={"drawn": random.random()})


class TellsTheTime(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        given = super().answer(context, question, task=task)
        return replace(given, details={"at": time.perf_counter_ns()})


class ByAddress(Good):
    made = 0

    def __init__(self, engine):
        super().__init__(engine)
        type(self).made += 1
        self.number = self.made

    def answer(self, context, question, *, task=PLAIN_QA):
        return replace(super().answer(context, question, task=task), details={"me": self.number})


class Remembers(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        self.first = getattr(self, "first", question)
        return replace(super().answer(context, question, task=task), details={"first": self.first})


class AsciiOnly(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        context.encode("ascii")
        return super().answer(context, question, task=task)


class FirstSentence(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        assert context.split(".")[0].split()[:1] != []
        return super().answer(context, question, task=task)


class NothingForNothing(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        given = super().answer(context, question, task=task)
        return given if context.strip() else None


class SecondHalf(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        if 0 < len(context.strip()) < 30 and context.isascii():
            raise IndexError("list index out of range")
        return super().answer(context, question, task=task)


class FirstWord(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        question[0]
        return super().answer(context, question, task=task)


class Notes(Good):
    def answer(self, context, question, *, task=PLAIN_QA, example=None):
        given = super().answer(context, question, task=task)
        if example is not None:
            example.tags["seen"] = 1
        return given


class FillsASlot(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        given = super().answer(context, question, task=task)
        task.slots["hint"] = ""
        return given


class Seeds(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        torch.manual_seed(7)
        return super().answer(context, question, task=task)


class OneThread(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        given = super().answer(context, question, task=task)
        torch.set_num_threads(torch.get_num_threads() + 1)
        return given


class NoGradients(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        torch.set_grad_enabled(False)
        return super().answer(context, question, task=task)


class Moves(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        os.chdir("/")
        return super().answer(context, question, task=task)


class Narrows(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        given = super().answer(context, question, task=task)
        self.engine.window = 4000
        return given


class LeavesAHook(Good):
    hook = None

    def answer(self, context, question, *, task=PLAIN_QA):
        given = super().answer(context, question, task=task)
        type(self).hook = self.engine.model.backbone.norm_f.register_forward_hook(
            lambda _, __, out: out * 1.01
        )
        return given


class TellsAll(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        return replace(super().answer(context, question, task=task), details={"all": "x" * LARGEST_DETAILS})


class TellsASet(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        return replace(super().answer(context, question, task=task), details={"chunks": {1}})


class TellsNaN(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        return replace(super().answer(context, question, task=task), details={"entropy": float("nan")})


class BeyondTheEnd(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        given = super().answer(context, question, task=task)
        return replace(given, spans=((0, len(context) + 1),)) if len(context) > 2000 else given


class Backwards(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        given = super().answer(context, question, task=task)
        return replace(given, spans=((20, 10),)) if len(context) > 2000 else given


class GoesBehindTheEngine(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        with torch.no_grad():
            self.engine.model(torch.tensor([self.engine.encode("Alden works in banking.")]))
        return super().answer(context, question, task=task)


class MetersItself(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        with self.engine.meter():
            return super().answer(context, question, task=task)


class CountsTwice(Good):
    def answer(self, context, question, *, task=PLAIN_QA):
        given = super().answer(context, question, task=task)
        self.engine._meter.cost.prompt_tokens += 5
        return given


class TalksOn(Good):
    def read(self, text, task):
        return super().read(text, replace(task, max_new_tokens=16))


class NeverStops(Good):
    def read(self, text, task):
        return super().read(text, replace(task, stop=()))


BROKEN = {
    NoAnswer: "builds",
    OneArgument: "builds",
    BreaksInItself: "builds",
    Raises: "answers",
    Silent: "type",
    Scores: "type",
    NeedsItsTask: "two-arguments",
    DrawsGlobally: "random",
    TellsTheTime: "again",
    ByAddress: "instance",
    Remembers: "order",
    AsciiOnly: "unicode",
    FirstSentence: "empty-context",
    NothingForNothing: "empty-context",
    SecondHalf: "short-context",
    FirstWord: "empty-question",
    Notes: "inputs",
    FillsASlot: "inputs",
    Seeds: "settings",
    OneThread: "settings",
    NoGradients: "settings",
    Moves: "settings",
    Narrows: "engine",
    LeavesAHook: "engine",
    TellsAll: "details",
    TellsASet: "details",
    TellsNaN: "details",
    BeyondTheEnd: "spans",
    Backwards: "spans",
    GoesBehindTheEngine: "cost",
    MetersItself: "cost",
    CountsTwice: "cost",
    TalksOn: "limit",
    NeverStops: "stop",
}
