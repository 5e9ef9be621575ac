"""One comparison: what a plan leaves to be answered is answered, scored, appended, synced; then the report.

The driver is the one writer of its records. Who answers is a `Bench` in this process, or a `Workforce` of
watched processes (``--timeout``) or Ray actors (``--executor ray``); the records are the same. Five failures in
a row stop the run. Imports no torch: the reader is opened by what is handed in. Exercised by
``python run_compare.py`` and ``pytest tests/comparison/test_run.py``.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from comparison import locks, provenance, records
from comparison.answering import Bench, Facts, Given
from comparison.folder import (
    check_folder,
    describe_run,
    example_rows,
    known_settings,
    write_examples,
    write_run,
)
from comparison.grid import PlannedTask
from comparison.pending import Group, Job, asked_methods, contenders_of, count_missing, find_pending
from comparison.plan import Plan, PlanError
from comparison.records import Record, RecordFile
from comparison.schedule import Workforce
from comparison.scoring import score_again, score_text
from comparison.workers import LocalWorkers, Setup, Workers
from methods.base import Undefined

FAILURES_IN_A_ROW = 5
SILENCE = 600  # seconds in which a log, where no progress bar is seen, is told nothing


class RunStopped(ValueError):
    """So many answers in a row failed that the run would only fill the folder with errors."""


class Answering(Protocol):
    """Who answers: a loaded reader, here or in workers."""

    @property
    def facts(self) -> Facts: ...
    def answers(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Given]]: ...


def open_reader(name: str, **settings: Any) -> Any:
    """`Engine.load`, imported where it is called: the driver of workers loads no torch."""
    from models.engine import Engine

    return Engine.load(name, **settings)


@dataclass
class Tally:
    """How a run went: answers given now, answers that were there already, failures among the new ones; `left`
    are those of other shards that nobody has given yet."""

    answered: int = 0
    found: int = 0
    failed: int = 0
    undefined: int = 0
    left: int = 0
    in_a_row: int = field(default=0, repr=False)

    def count(self, record: Record) -> None:
        """Add one new record. Raises `RunStopped` at the fifth failure in a row."""
        self.answered += 1
        self.undefined += record.final and record.error is not None
        self.failed += record.failed
        self.in_a_row = self.in_a_row + 1 if record.failed else 0
        if self.in_a_row == FAILURES_IN_A_ROW:
            raise RunStopped(
                f"{FAILURES_IN_A_ROW} answers in a row failed, the last by {record.method} on {record.task} "
                f"({record.example}): {record.error}; mend it and run the same command again to go on"
            )

    def describe(self) -> str:
        """One line for the end of a run."""
        parts = [f"{self.answered:,} answers"]
        parts += [f"{self.found:,} found in the run folder"] if self.found else []
        parts += [f"{self.undefined:,} undefined for their method"] if self.undefined else []
        parts += [f"{self.failed:,} failed (the same command tries them again)"] if self.failed else []
        return ", ".join(parts)


def run(plan: Plan, tasks: Sequence[PlannedTask], command: str) -> tuple[Tally, Path | None]:
    """Open the reader, answer what is left of the plan (`compare`) and make the report. Returns how it went and the
    report's path: None where other shards have still to answer."""
    from reports import write_report

    check_folder(plan.out, known_settings(plan, tasks))
    locks.refuse_rivals(plan.out, plan.writer)  # before a second reader crowds the first one's device
    provenance.remember_code(asked_methods(plan))
    load = partial(  # it pickles, so that a worker can be told
        open_reader,
        plan.reader.name,
        revision=plan.reader.revision,
        device=plan.device,
        dtype=plan.dtype,
        trust_remote_code=plan.trust_remote_code,
    )
    if plan.executor == "serial" and plan.timeout is None:
        tally = compare(plan, tasks, load(), command=command)
    else:
        tally = compare_with_workers(plan, tasks, load, command=command)
    if tally.left:
        return tally, None
    with locks.folder_lock(plan.out):  # two shards may find the grid complete
        return tally, write_report(plan.out)


def compare(plan: Plan, tasks: Sequence[PlannedTask], engine: Any, *, command: str) -> Tally:
    """Answer everything in the plan that the run folder has no record of, in this process.

    Raises `FolderError` where the folder was made under other settings, `RecordError` where it is locked or
    cannot be written, `PlanError` where the engine is another reader's or a task no benchmark's of the plan,
    `RunStopped` after too many failures. Interrupted at any point, the same call goes on. Weights that are changed
    after they were loaded are not seen: their answers would be taken for the old ones'.
    """
    if engine.spec.name != plan.reader.name:
        raise PlanError(
            f"the engine reads with {engine.spec.name}, and the plan is of {plan.reader.name}: expected one reader"
        )
    return answer_plan(plan, tasks, Bench(plan.reader, engine, asked_methods(plan)), command=command)


def compare_with_workers(
    plan: Plan, tasks: Sequence[PlannedTask], load: Callable[[], Any], *, command: str
) -> Tally:
    """`compare` with answers given by Ray's workers, or by one process beside this one: both can be killed.
    `load` opens the reader; it is pickled, and called in each of them. Raises `WorkerError` besides, where they
    cannot be had."""
    setup = Setup.of(plan, load)
    workers: Workers
    if plan.executor == "ray":
        from comparison.ray_workers import RayWorkers

        workers = RayWorkers(setup, plan.workers, address=plan.ray_address, device=plan.device)
    else:
        workers = LocalWorkers(setup)
    with Workforce(workers, plan.timeout) as workforce:
        return answer_plan(plan, tasks, workforce, command=command)


def answer_plan(plan: Plan, tasks: Sequence[PlannedTask], source: Answering, *, command: str) -> Tally:
    """`compare`, whoever answers."""
    contenders = contenders_of(plan, source.facts)
    described = describe_run(plan, tasks, contenders, source.facts, command)
    # before the lock, for which the other shards wait
    asked = {planned.task.name: example_rows(planned) for planned in tasks}
    with ExitStack() as stack:
        with locks.folder_lock(plan.out):
            stack.enter_context(locks.writer_lock(plan.out, plan.writer))
            alone = set(locks.running_writers(plan.out)) == {plan.writer}
            run = write_run(plan.out, described, alone=alone)
            for task, rows in asked.items():
                write_examples(plan.out, task, rows)
            rescored = sum(score_again(plan.out, run, planned, plan.writer) for planned in tasks)
        if rescored:
            print(
                f"{rescored:,} answers in {plan.out} had been scored by another metric: scored again",
                flush=True,
            )
        groups = [
            group
            for planned in tasks
            for group in find_pending(plan.out, run, contenders, planned, plan.shard)
        ]
        tally = Tally(found=sum(group.found for group in groups))
        if again := sum(group.again for group in groups):
            print(
                f"{again:,} answers in {plan.out} are of code, predictions or a metric changed since: given again",
                flush=True,
            )
        _answer_all(plan, run, groups, source, tally)
        if plan.shard:
            tally.left = sum(count_missing(plan.out, run, contenders, planned) for planned in tasks)
    return tally


def _answer_all(
    plan: Plan, run: dict[str, Any], groups: Sequence[Group], source: Answering, tally: Tally
) -> None:
    """Record the answers as they come; a group's file is open from its first one to its last."""
    jobs = [Job(group, key, place) for group in groups for key, place in group.pending]
    left = Counter(job.group for job in jobs)
    files: dict[Group, RecordFile] = {}
    visible, told = sys.stderr.isatty(), time.monotonic()
    with (
        ExitStack() as stack,
        tqdm(total=len(jobs), unit="answer", disable=not visible, dynamic_ncols=True) as bar,
    ):
        for job, given in _answers(source, jobs):
            group, task, label = job.group, job.task.name, job.label
            if group not in files:
                path = records.record_path(plan.out, run["settings"]["model"], label, task, plan.writer)
                files[group] = stack.enter_context(RecordFile(path))
                bar.set_description(f"{task}, {label}")
            record = record_of(run, job, given)
            files[group].append(record)
            bar.update()
            tally.count(record)
            left[group] -= 1
            done = not left[group]
            if done:
                files[group].close()
            if not visible and (done or time.monotonic() - told >= SILENCE):
                said = (
                    f"{len(group.pending)} answers"
                    if done
                    else f"{tally.answered:,} of all {len(jobs):,} so far"
                )
                print(f"{task}, {label}: {said}", flush=True)
                told = time.monotonic()


def _answers(source: Answering, jobs: Sequence[Job]) -> Iterator[tuple[Job, Given]]:
    """Imported predictions, which need no reader, and then what the reader answers."""
    for job in jobs:
        if job.group.contender.imported:
            yield job, _imported(job)
    yield from source.answers([job for job in jobs if not job.group.contender.imported])


def _imported(job: Job) -> Given:
    try:
        return Given(job.group.planned.predictions[job.label].answer(job.example().id))
    except Undefined as reason:
        return Given(error=f"{records.UNDEFINED}{reason}")


def record_of(run: dict[str, Any], job: Job, given: Given) -> Record:
    """Score an answer and make its record. What fails in the score is the record's error."""
    contender, planned, example = job.group.contender, job.group.planned, job.example()
    answer, score, error = given.answer, 0.0, given.error
    if error is None:
        score, error = score_text(planned, answer.text, example, imported=contender.imported)
    return Record(
        key=job.key,
        model=run["settings"]["model"],
        method=contender.label,
        control=contender.traits.control,
        task=planned.task.name,
        example=example.id,
        cluster=example.cluster,
        bucket=example.bucket,
        tags=dict(example.tags),
        length=example.length,
        prediction=answer.text,
        answers=tuple(example.answers),
        score=score,
        metric=planned.metric,
        empty=error is None and not answer.text.strip(),
        truncated=answer.truncated,
        error=error,
        spans=answer.spans,
        cost=given.cost,
        cold=given.cold,
        details=answer.details,
        version=contender.version(planned),
        commit=run["commit"],
        session=run["session"],
    )
