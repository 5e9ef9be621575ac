"""A scripted reader without torch, and small methods and benchmarks for it.

As a program it is `run_compare.py` with this reader in place of the engine, for tests that kill a process.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.base import Example, Task, TaskSet
from methods.base import Answer, Undefined
from models.meter import Cost
from models.specs import ReaderSpec

HUB_ID = "fake/reader"


class FakeEngine:
    """What the runner asks of an engine, and a `read` that answers with the context's last word."""

    def __init__(self, kernel="torch"):
        self.spec = ReaderSpec(name=HUB_ID, path=HUB_ID)
        self.kernel, self.dtype, self.device = kernel, "torch.float32", "cpu"
        self._cost = Cost()

    @classmethod
    def load(cls, name, **settings):
        return cls()

    @contextmanager
    def meter(self):
        self._cost = Cost()
        yield self._cost
        self._cost.seconds["total"] = 0.001

    def read(self, context):
        self._cost.calls += 1
        self._cost.prompt_tokens += len(context.split())
        return context.split()[-1]


class Last:
    """Right on every example: the answer is the context's last word. Counts its calls by example."""

    calls: list = []  # noqa: RUF012 - shared on purpose, tests empty it

    def __init__(self, engine, *, wrong: bool = False):
        self.engine, self.wrong = engine, wrong

    def answer(self, context, question):
        self.calls.append(question)
        return "nothing" if self.wrong else self.engine.read(context)


class Seeing:
    """Sees the answer key, so it is a control; has no answer where the example is of the bucket b."""

    def __init__(self, engine):
        self.engine = engine

    def answer(self, context, question, *, task, example):
        if example.bucket == "b":
            raise Undefined("nothing in bucket b")
        return Answer(example.answers[0], spans=((0, 3),), details={"task": task.name})


class Best:
    """The word of the context that the task's metric likes best."""

    def __init__(self, engine):
        pass

    def answer(self, context, question, *, task, example):
        return max(context.split(), key=lambda word: task.score(word, example))


class Gated(Last):
    """Stops at its fourth question until there is a file called gate."""

    def answer(self, context, question):
        while len(self.calls) == 3 and not Path("gate").exists():
            time.sleep(0.01)
        return super().answer(context, question)


class Hangs(Last):
    """Hangs at question `at`, until there is a file called awake."""

    def __init__(self, engine, *, at: int = 2):
        super().__init__(engine)
        self.at = at

    def answer(self, context, question):
        while question == f"What comes last, {self.at}?" and not Path("awake").exists():
            time.sleep(0.01)
        return super().answer(context, question)


class Dies(Last):
    """Kills its process at question `at`, `times` over."""

    def __init__(self, engine, *, at: int = 2, times: int = 1):
        super().__init__(engine)
        self.at, self.times = at, times

    def answer(self, context, question):
        if question == f"What comes last, {self.at}?":
            with Path(f"deaths-{self.times}").open("a+") as deaths:
                deaths.seek(0)
                if len(deaths.read()) < self.times:
                    deaths.write("+")
                    deaths.flush()
                    os.kill(os.getpid(), signal.SIGKILL)
        return super().answer(context, question)


class Declared(Last):
    control = True


class Shy(Last):
    """Refuses every reader."""

    def __init__(self, engine):
        raise ValueError("a reader with a window is needed")


class Says:
    """Hands back whatever `what` names, to see what the runner makes of it."""

    def __init__(self, engine, *, what: str = "raise"):
        self.what = what

    def answer(self, context, question, **anything):
        if self.what == "raise":
            raise RuntimeError(f"no answer\nto {question}")
        if self.what == "exit":
            sys.exit("no licence")
        return {
            "number": 42,
            "number_in_answer": Answer(42),  # type: ignore[arg-type]
            "spans_outside": Answer("x", spans=((0, 10_000),)),
            "details": Answer("x", details={"object": object()}),
            "nan": Answer("x", details={"entropy": float("nan")}),
            "empty": "  ",
            "surrogate": "\udc80",
            "task": str(sorted(anything)),
        }[self.what]


class Mostly(Last):
    """Fails four times out of five."""

    def answer(self, context, question):
        said = super().answer(context, question)
        if len(self.calls) % 5:
            raise RuntimeError("mostly")
        return said


class Sometimes:
    """Fails while `broken` is set."""

    broken = True

    def __init__(self, engine):
        self.engine = engine

    def answer(self, context, question):
        if self.broken and question == "What comes last, 3?":
            raise RuntimeError("broken")
        return self.engine.read(context)


def words(
    count_tokens,
    *,
    seed: int = 0,
    n: int = 6,
    revision: str = "1",
    bad: str = "",
    data_dir: str = "",
    also=(),
):
    """`n` examples in buckets a and b; `also` are right answers too; `bad` makes an example useless."""
    examples = []
    for number in range(n):
        context = f"{seed} {data_dir} one two three word{number}".replace("  ", " ")
        examples.append(
            Example(
                id=f"words-{number}",
                context=" " if bad == "context" and number == 1 else context,
                question="" if bad == "question" and number == 1 else f"What comes last, {number}?",
                answers=(f"word{number}", *also),
                choices=tuple(f"word{other}" for other in range(n)),
                length=count_tokens(context),
                bucket="ab"[number % 2],
                evidence=((len(context) - 5, len(context)),),
            )
        )
    if bad == "empty":
        examples = []
    if bad == "file":
        raise ValueError("words.jsonl:7 is not JSON,\nexpected one object a line")
    if bad == "ids":
        examples.append(examples[0])
    task = Task("words", "Read.\n", "\nQ: {question} A:", "value", 8, revision=revision)
    return [TaskSet(task, examples)]


def count_words(text):
    return len(text.split())


def install(monkeypatch=None):
    """Put the scripted reader where the command line looks for the engine and the tokenizer."""
    engine, loading = ModuleType("models.engine"), ModuleType("models.loading")
    engine.Engine = FakeEngine  # type: ignore[attr-defined]
    loading.load_tokenizer = lambda reader, trust: lambda text, **_: {"input_ids": text.split()}  # type: ignore[attr-defined]
    for module in (engine, loading):
        if monkeypatch is None:
            sys.modules[module.__name__] = module
        else:
            monkeypatch.setitem(sys.modules, module.__name__, module)


if __name__ in ("__main__", "__mp_main__"):  # the second is its name in a worker process
    from comparison import provenance

    # A version follows the checkout's files, and somebody may be editing them between two processes of a test.
    provenance.method_version = lambda *behind: "1"
    sys.modules["comparison_fakes"] = sys.modules[__name__]
    install()

if __name__ == "__main__":
    import run_compare

    sys.exit(run_compare.main())
