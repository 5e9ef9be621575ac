"""The scheduling loop, with workers that follow a script: order, deadlines, deaths."""

from __future__ import annotations

import time

import pytest
from comparison_fakes import FakeEngine, words

from comparison.answering import Bench, Facts, Given, Traits
from comparison.pending import Contender, Group, Job
from comparison.plan import resolve
from comparison.schedule import Workforce
from comparison.workers import Failed, Gone, WorkerError
from methods.base import Answer

TRAITS = Traits(frozenset(), control=False, version="1")
LABEL = "comparison_fakes:Last"
FACTS = Facts({"dtype": "float32", "kernel": "torch"}, {LABEL: TRAITS}, "cpu")


class Planned:
    def __init__(self, count):
        [task_set] = words(len, n=count)
        self.task, self.examples = task_set.task, task_set.examples


def jobs(count):
    group = Group(Contender(resolve("method", LABEL), TRAITS), Planned(count), (), 0)
    return [Job(group, f"key{place}", place) for place in range(count)]


class Scripted:
    """Workers that answer at once with the example's id; `script[id]` is what happens instead, in turn:
    "hang", "die" or a message. `starts[worker]` are the messages at its starts, in turn (facts if none)."""

    def __init__(self, size=1, script=(), starts=()):
        self.size = size
        self.script = {name: list(steps) for name, steps in dict(script).items()}
        self.starts = {worker: list(messages) for worker, messages in dict(starts).items()}
        self.inbox, self.log, self.alive = [], [], set()

    def start(self, worker):
        assert worker not in self.alive
        self.alive.add(worker)
        self.log.append(f"start {worker}")
        steps = self.starts.get(worker, [])
        self.send(worker, steps.pop(0) if steps else FACTS)

    def submit(self, worker, question):
        assert worker in self.alive
        label, task, example = question
        assert (label, task.name) == (LABEL, "words")
        self.log.append(f"{example.id} to {worker}")
        steps = self.script.get(example.id, [])
        step = steps.pop(0) if steps else Given(Answer(example.id))
        if step != "hang":
            self.send(worker, Gone("killed by SIGKILL") if step == "die" else step)

    def send(self, worker, message):
        if isinstance(message, Gone):
            self.alive.discard(worker)
        self.inbox.append((worker, message))

    def wait(self, seconds):
        if not self.inbox:
            assert seconds is not None, "the loop waits for ever"
            time.sleep(seconds)
        messages, self.inbox = self.inbox, []
        return messages

    def kill(self, worker):
        self.log.append(f"kill {worker}")
        self.alive.remove(worker)
        self.inbox = [(one, message) for one, message in self.inbox if one != worker]

    def close(self):
        self.log.append("close")


def go(workers, count=4, timeout=None):
    """The text or the error of every example, in the order in which they came."""
    with Workforce(workers, timeout) as workforce:
        return [
            (job.example().id, given.error or given.answer.text)
            for job, given in workforce.answers(jobs(count))
        ]


def plain(count):
    return [(f"words-{place}", f"words-{place}") for place in range(count)]


def test_one_worker_answers_in_order():
    workers = Scripted()
    assert go(workers) == plain(4)
    assert workers.log == ["start 0", *(f"words-{place} to 0" for place in range(4)), "close"]


def test_a_next_question_is_out_before_the_answer_is_recorded():
    workers = Scripted()
    with Workforce(workers, None) as workforce:
        next(iter(workforce.answers(jobs(4))))
    assert workers.log[-2:] == ["words-1 to 0", "close"]


def test_several_workers_share_the_questions_in_order():
    workers = Scripted(size=3)
    assert sorted(go(workers, 7)) == plain(7)
    handed = [line.split()[0] for line in workers.log if "to" in line.split()]
    assert handed == [f"words-{place}" for place in range(7)]
    assert {line.split()[-1] for line in workers.log if "to" in line.split()} == {"0", "1", "2"}


def test_an_answer_that_is_overdue_is_an_error_and_its_worker_is_replaced():
    workers = Scripted(script={"words-1": ["hang"]})
    assert go(workers, 3, timeout=0.05) == [
        ("words-0", "words-0"),
        ("words-1", "timeout: no answer within 0.05 s"),
        ("words-2", "words-2"),
    ]
    assert workers.log.count("start 0") == 2
    assert workers.log[3:5] == ["kill 0", "start 0"]


def test_an_overdue_answer_costs_the_time_that_was_waited():
    with Workforce(Scripted(script={"words-0": ["hang"]}), 0.05) as workforce:
        [(_, given)] = workforce.answers(jobs(1))
    assert given.cost["seconds"]["total"] >= 0.05
    assert given.cost["calls"] == 0


def test_the_last_answer_needs_no_new_worker():
    workers = Scripted(script={"words-1": ["hang"]})
    go(workers, 2, timeout=0.05)
    assert workers.log[-2:] == ["kill 0", "close"]


def test_one_that_hangs_does_not_hold_up_the_others():
    workers = Scripted(size=2, script={"words-0": ["hang"]})
    said = go(workers, 6, timeout=0.2)
    assert said[-1] == ("words-0", "timeout: no answer within 0.2 s")
    assert sorted(said)[1:] == plain(6)[1:]


def test_the_example_of_a_worker_that_dies_is_done_again():
    workers = Scripted(script={"words-1": ["die"]})
    assert go(workers) == plain(4)
    assert workers.log.count("start 0") == 2
    assert workers.log.count("words-1 to 0") == 2


def test_an_example_of_which_two_workers_die_is_an_error():
    workers = Scripted(script={"words-1": ["die", "die"]})
    said = go(workers)
    assert said[1] == ("words-1", "the worker died twice on this example: killed by SIGKILL")
    assert [said[0], *said[2:]] == [one for one in plain(4) if one[0] != "words-1"]
    assert workers.log.count("start 0") == 3


def test_the_last_example_needs_no_third_worker():
    workers = Scripted(script={"words-1": ["die", "die"]})
    go(workers, 2)
    assert workers.log.count("start 0") == 2


def test_a_worker_that_dies_with_nothing_to_do_gets_no_question():
    workers = Scripted(size=2, script={"words-0": ["die"]})
    with Workforce(workers, None) as workforce:
        workers.send(1, Gone("killed"))
        assert [given.answer.text for _, given in workforce.answers(jobs(1))] == ["words-0"]
    assert workers.log == ["start 0", "start 1", "words-0 to 0", "start 0", "words-0 to 0", "close"]


def test_a_worker_that_dies_while_it_opens_the_reader_is_started_again():
    workers = Scripted(starts={0: [Gone("killed"), Gone("killed"), FACTS]})
    assert go(workers) == plain(4)
    assert workers.log[:3] == ["start 0"] * 3


def test_three_deaths_while_the_reader_is_opened_are_an_error_of_one_line():
    workers = Scripted(starts={0: [Gone("killed by SIGKILL")] * 3})
    with pytest.raises(
        WorkerError,
        match=r"died 3 times while it opened the reader \(killed by SIGKILL.*needs `if __name__ ==",
    ) as error:
        go(workers)
    assert "\n" not in str(error.value)
    assert workers.log[-1] == "close"


def test_deaths_at_the_start_count_in_a_row():
    dying = {0: [Gone("killed"), Gone("killed"), FACTS] * 2}
    assert go(Scripted(starts=dying, script={"words-1": ["die"]})) == plain(4)


def test_three_deaths_are_as_many_where_a_worker_that_had_been_ready_is_replaced():
    starts = {0: [FACTS, *[Gone("killed")] * 3]}
    with pytest.raises(WorkerError, match="died 3 times while it opened the reader"):
        go(Scripted(starts=starts, script={"words-1": ["die"]}))


def test_a_reader_that_cannot_be_opened_is_an_error_of_one_line():
    workers = Scripted(starts={0: [Failed("no reader in x")]})
    with pytest.raises(WorkerError, match=r"^no reader in x$"):
        go(workers)
    assert workers.log[-1] == "close"


def test_a_bug_in_a_factory_keeps_its_traceback():
    with pytest.raises(RuntimeError, match="Traceback of the worker"):
        go(Scripted(starts={0: [Failed("KeyError: 'x'", "Traceback of the worker")]}))


@pytest.mark.parametrize(
    ("other", "part"),
    [
        (
            FACTS._replace(settings=dict(FACTS.settings) | {"dtype": "bfloat16"}),
            "dtype: float32 on one, bfloat16",
        ),
        (
            FACTS._replace(methods={LABEL: TRAITS._replace(version="2")}),
            "the code of comparison_fakes:Last: 1 on one, 2",
        ),
    ],
)
def test_workers_that_would_answer_differently_are_refused(other, part):
    with pytest.raises(WorkerError, match=f"the workers differ in {part}"):
        go(Scripted(size=2, starts={1: [other]}))


def test_workers_on_other_devices_of_a_kind_agree():
    said = go(Scripted(size=2, starts={1: [FACTS._replace(place="cuda:1")]}))
    assert sorted(said) == plain(4)


def test_a_bench_is_warm_after_its_first_answer_of_a_method_and_task():
    bench = Bench(FakeEngine().spec, FakeEngine(), [resolve("method", LABEL)])
    assert [given.cold for _, given in bench.answers(jobs(3))] == [True, False, False]
