"""Somebody's predictions as one more method of a run: ``--import-predictions LABEL=DIR``.

DIR holds ``<task>.jsonl`` as LongBench writes it: `pred` in every row, and `_id` or `answers` to tell which
example it is of (of LongBench v2, whose `pred` is the letter that was found, `response` is the prediction). Rows are
paired by `_id` where every row has one that the task knows, and otherwise by order: as many rows as the benchmark has
examples (before ``--limit``), each with equal answers; in another order by these answers, where none come twice. A
file that fits no way is refused; beside known ids, rows of no example are counted and said, in the plan and in the
report (of two rows of one example the first counts). A row that is not readable, or is not there, leaves its example
undefined for this method, counted as such and never a zero. Such a method has no cost.
Exercised by ``pytest tests/comparison/test_imported_predictions.py``.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.base import Outline, Task
from benchmarks.sources import distinct, local_file, parse_row, texts
from comparison.records import canonical_digest
from methods.base import Answer, Undefined

RULES = 2
"""The version of how imports are scored."""

MIXED = (
    "of other data, or in another order (LongBench's runner interleaves them on several GPUs): give every row "
    "the _id of its example"
)


class ImportFolderError(ValueError):
    """Predictions that are not of the examples of this run; the message is one line."""


@dataclass(frozen=True)
class Predictions:
    """What a folder says about one task: the prediction of every example that it has one of, and why another
    has none; `unread` says which rows are of no example that can be told, `unknown` which are of none."""

    texts: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    how: str = "no file for this task"
    unread: Sequence[str] = ()
    unknown: Sequence[str] = ()

    @cached_property
    def version(self) -> str:
        """Another one where any prediction is another, as that of a method is where its code is, or the rules."""
        return f"imported-{canonical_digest([RULES, self.texts])[:16]}"

    def answer(self, example: str) -> Answer:
        """The imported prediction. `Undefined` where there is none."""
        if example not in self.texts:
            raise Undefined(self.reasons.get(example, self.how if not self.texts else "not in the import"))
        return Answer(self.texts[example])

    def describe(self) -> str:
        """One line for the plan."""
        if not self.texts and not self.reasons:
            return self.how
        return ", ".join([f"{len(self.texts)} predictions imported, {self.how}", *self.losses])

    @property
    def losses(self) -> list[str]:
        """What was not taken, for the plan and the report: how many rows, and the first."""
        kinds = {"unreadable": [*self.reasons.values(), *self.unread], "of no example": self.unknown}
        return [f"{len(rows)} rows {kind} ({rows[0]})" for kind, rows in kinds.items() if rows]


class Imported:
    """Stands where a method's factory would; an imported method is never asked."""


@dataclass(frozen=True)
class _Row:
    """A line of a file; its prediction is in `field`."""

    place: str
    row: Mapping[str, Any]
    field: str

    @property
    def reason(self) -> str:
        """Why this row holds no prediction; empty where it does."""
        if not self.row:
            return f"{self.place} is not a whole JSON object"
        there = isinstance(self.row.get(self.field), str)
        return "" if there else f"{self.place} has no text in {self.field}"

    @property
    def answers(self) -> tuple[str, ...] | None:
        return texts(self.row.get("answers"))


def parse_import(text: str) -> tuple[str, Path]:
    """``LABEL=DIR``. ImportFolderError for anything else, and for a folder without any ``.jsonl``."""
    label, _, folder = (part.strip() for part in text.partition("="))
    if not label or not folder or not text.isprintable():
        raise ImportFolderError(f"--import-predictions {text!r}: expected LABEL=DIR")
    path = Path(folder)
    if not os.path.isdir(path) or not any(path.glob("*.jsonl")):  # is_dir raises for a name that is too long
        raise ImportFolderError(
            f"--import-predictions {label}: {folder} is no folder with <task>.jsonl files"
        )
    return label, path


def pair_all(
    label: str, folder: Path, tasks: Sequence[tuple[Task, Sequence[Outline]]]
) -> dict[str, Predictions]:
    """`pair` for every task of a run, by the task's name; of the two tasks that one file could be of, it is that of
    the one which it fits. ImportFolderError where the folder has no prediction for any."""
    found: dict[str, Predictions | ImportFolderError] = {}
    for task, outlines in tasks:
        try:
            found[task.name] = pair(label, folder, task, outlines)
        except ImportFolderError as problem:
            found[task.name] = problem
    _settle_sisters(folder, found)
    paired: dict[str, Predictions] = {}
    for name, one in found.items():
        if isinstance(one, ImportFolderError):
            raise one
        paired[name] = one
    start = f"--import-predictions {label}:"
    if not any(one.texts for one in paired.values()):
        if lost := [loss for one in paired.values() for loss in one.losses]:
            raise ImportFolderError(f"{start} no prediction can be read: {lost[0]}")
        names = ", ".join(f"{name}.jsonl" for name in paired)
        raise ImportFolderError(f"{start} {folder} has none of {names}")
    return paired


def pair(label: str, folder: Path, task: Task, outlines: Sequence[Outline]) -> Predictions:
    """The predictions for one task, by example. ImportFolderError where they are of other data."""
    path = _file(folder, task.name)
    if path is None:
        return Predictions()
    rows = _rows(path, task)
    found, how, other = _by_id(rows, outlines), "paired by _id", "of other data"
    if found is None:
        found, how, other = _by_order(label, path, rows, task, outlines), "paired by order", MIXED
        if _mismatch(found) and (by_answers := _by_answers(found)):
            found, how = by_answers, "paired by answers"
    if wrong := _mismatch(found):
        raise ImportFolderError(
            f"--import-predictions {label}: {wrong[1].place} has other answers than example {wrong[0].id} of "
            f"task {task.name}: these predictions are {other}"
        )
    pairs = {outline.id: row for outline, row in found}
    places = {row.place for row in pairs.values()}
    return Predictions(
        texts={example: str(row.row[row.field]) for example, row in pairs.items() if not row.reason},
        reasons={example: row.reason for example, row in pairs.items() if row.reason},
        how=how,
        unread=[row.reason for row in rows if not row.row and row.place not in places],
        unknown=_unknown(rows, places),
    )


def _settle_sisters(folder: Path, found: dict[str, Predictions | ImportFolderError]) -> None:
    """LongBench's runner gives the files of both its sets the same names: one that could be of a task and of its
    `_e` sister, and fits one of them better, is taken from the other."""

    def fit(name: str) -> int:
        """2 where all rows are of its examples, 1 where some are, 0 where none can be."""
        one = found[name]
        return 0 if isinstance(one, ImportFolderError) else 1 if one.unknown else 2

    for plain in [name for name in found if f"{name}_e" in found]:
        path = _file(folder, plain)
        worse, better = sorted((plain, f"{plain}_e"), key=fit)
        if path == _file(folder, f"{plain}_e") and fit(worse) < fit(better):
            found[worse] = Predictions(how=f"{path} is of {better}")


def _file(folder: Path, task: str) -> Path | None:
    """The task's own file, or that of the name which LongBench's runner gives an `_e` task."""
    names = dict.fromkeys((task, task.removesuffix("_e")))
    paths = (folder / f"{name}.jsonl" for name in names if Path(name).name == name)
    return next((path for path in paths if path.is_file()), None)


def _rows(path: Path, task: Task) -> list[_Row]:
    """The rows of a file; LongBench v2's runner keeps the reply beside the letter that it found in it."""
    with local_file(path).open() as file:
        lines = [(number, line) for number, line in enumerate(file, start=1) if line.strip()]
    rows = []
    for number, line in lines:
        row = parse_row(line) or {}
        replied = task.metric == "longbench_v2" and "response" in row
        rows.append(_Row(f"{path}:{number}", row, "response" if replied else "pred"))
    return rows


def _by_id(rows: Sequence[_Row], outlines: Sequence[Outline]) -> list[tuple[Outline, _Row]] | None:
    """Rows and examples of one `_id`; None unless every readable row has one and some are known."""
    readable = [row for row in rows if row.row]
    ids = [row.row.get("_id") for row in readable]
    if not all(isinstance(one, str | int) for one in ids):
        return None
    named = dict(zip(distinct(str(one) for one in ids), readable, strict=True))
    return [(outline, named[outline.id]) for outline in outlines if outline.id in named] or None


def _mismatch(pairs: Iterable[tuple[Outline, _Row]]) -> tuple[Outline, _Row] | None:
    """The first example whose row names other answers."""
    told = (one for one in pairs if one[1].answers is not None)
    return next(((outline, row) for outline, row in told if row.answers != tuple(outline.answers)), None)


def _by_answers(pairs: Sequence[tuple[Outline, _Row]]) -> list[tuple[Outline, _Row]] | None:
    """The same examples and rows by their answers; None where these are not the same, or some come twice."""
    outlines = {tuple(outline.answers): outline for outline, _ in pairs}
    rows = {row.answers: row for _, row in pairs}
    if rows.keys() != outlines.keys() or len(rows) < len(pairs):
        return None
    return [(outline, rows[answers]) for answers, outline in outlines.items()]


def _unknown(rows: Sequence[_Row], places: Container[str]) -> list[str]:
    """The readable rows that stand at none of the `places` that were paired with an example, each with why."""
    seen: set[str] = set()
    found = []
    for row in (row for row in rows if row.row):
        name = str(row.row.get("_id"))
        if row.place not in places:
            why = "came before" if name in seen else "no example has"
            found.append(f"{row.place} has the _id {name[:60]!r}, which {why}")
        seen.add(name)
    return found


def _by_order(
    label: str, path: Path, rows: Sequence[_Row], task: Task, outlines: Sequence[Outline]
) -> list[tuple[Outline, _Row]]:
    start = f"--import-predictions {label}: {path}"
    if rows and not any(row.row for row in rows):
        raise ImportFolderError(f"{start} has no readable row: {rows[0].reason}")
    if len(rows) != len(outlines):
        raise ImportFolderError(
            f"{start} has {len(rows)} rows and task {task.name} has {len(outlines)} examples: give every row "
            "the _id of its example, or one row to every example"
        )
    blind = next((row for row in rows if row.row and row.answers is None), None)
    if blind:
        raise ImportFolderError(
            f"{start} cannot be paired: {blind.place} has neither a known _id nor a list of answers"
        )
    return list(zip(outlines, rows, strict=True))
