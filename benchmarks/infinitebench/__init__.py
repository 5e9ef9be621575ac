"""InfiniteBench (Zhang et al. 2024, arXiv 2402.13718): 12 tasks of 100,000 tokens and more.

Rows come from ``DATA_DIR/infinitebench/<task>.jsonl`` or from the hub, a file a task. A file has up to 863 MB:
it is scanned once, and a row is read when it is asked for.
Exercised by ``python run_compare.py --benchmark "infinitebench:tasks=passkey;longbook_qa_eng" --data-dir DIR``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.base import CountTokens, Example, TaskSet
from benchmarks.infinitebench import templates
from benchmarks.infinitebench.templates import TASKS
from benchmarks.sources import DataError, Source, hub_file, local_file, text, texts
from benchmarks.stored import StoredExamples

HUB = "xinrongzhang2022/InfiniteBench"
REVISION = "90f0394333616266d9fe85824ceaf505093cbaa5"
ONE_BUCKET = "any length"


def infinitebench(
    count_tokens: CountTokens, *, data_dir: Path | None = None, tasks: tuple[str, ...] = ()
) -> Iterator[TaskSet]:
    """The named tasks, or all whose files are there. ValueError for an unknown task, `DataError` for a file
    that is missing."""
    for name in tasks:
        templates.row(name)
    folder = data_dir / "infinitebench" if data_dir else None
    for name, source in _sources(folder, [name for name in TASKS if name in tasks or not tasks], tasks):
        bad: list[str] = []
        examples = StoredExamples(source, partial(make_example, name), bad)
        task = replace(templates.task(name), revision=source.revision)
        yield TaskSet(task, examples, left_out=bad, note=source.note)


def _sources(folder: Path | None, names: list[str], asked: tuple[str, ...]) -> Iterator[tuple[str, Source]]:
    if folder is None or not folder.is_dir():
        looked = str(folder or "")
        yield from ((name, hub_file(HUB, f"{name}.jsonl", REVISION, looked=looked)) for name in names)
        return
    there = [name for name in names if (folder / f"{name}.jsonl").is_file()]
    missing = [name for name in names if name not in there]
    if missing and (asked or not there):
        raise DataError(f"infinitebench needs {missing[0]}.jsonl, which is not in {folder}: put it there")
    yield from ((name, local_file(folder / f"{name}.jsonl")) for name in there)


def make_example(name: str, row: Mapping[str, Any]) -> Example | str:
    """One row as an example, or why it is none."""
    context, question = text(row, "context"), text(row, "input")
    number = row.get("id")
    if not context.strip():
        return "it has no context"
    if not isinstance(number, int | str):
        return f"id is {number!r}, expected a number"
    if templates.task(name).asks and not question.strip():
        return "it has no input"
    try:
        answers = templates.answers(name, row.get("answer"), row.get("options"))
        slots = templates.slots(name, row)
    except ValueError as problem:
        return str(problem)
    chinese = templates.row(name).language == "zh"
    return Example(
        id=f"{name}-{number}",
        context=context,
        question=question,
        answers=answers,
        choices=texts(row.get("options")) or (),
        length=len(context) if chinese else len(context.split()),
        bucket=ONE_BUCKET,
        slots=slots,
    )
