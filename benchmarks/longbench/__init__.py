"""LongBench and LongBench_e (Bai et al. 2024, arXiv 2308.14508): 21 and 13 tasks in the official wording.

Rows come from ``DATA_DIR/longbench/<task>[_e].jsonl``, then from a ``data.zip`` there; where there is no such folder
from the hub's `data.zip` (cached or downloaded, read in place; its loading script is never run), or from a parquet
mirror that is named. Other files of rows in the folder are named in the plan.
Lengths and buckets are the stored ones, in words (characters for Chinese), which cannot be recomputed.
`profile=paper` is OPRM's own wording and limits (arXiv 2505.07793); its tasks have names of their own, so that
the two are never mixed in one table. Exercised by
``python run_compare.py --benchmark "longbench_e:tasks=hotpotqa;qasper" --data-dir DIR --model HUB_ID``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar

from benchmarks import metrics
from benchmarks.base import CountTokens, Example, Task, TaskSet
from benchmarks.longbench import paper, templates
from benchmarks.longbench.templates import E_TASKS, TASKS, Category
from benchmarks.matching import CodeSimilarity
from benchmarks.qa_metrics import MissingPackage
from benchmarks.sources import (
    DataError,
    HubRows,
    Source,
    distinct,
    hub_file,
    hub_rows,
    kind,
    local_file,
    read_rows,
    text,
    texts,
    zip_members,
)

HUB = "zai-org/LongBench"
ONE_BUCKET = "any length"
REVISION = "5e628be450b7e67fb7ae6e201bd6d8f7056f7672"
Profile = Literal["fair", "paper"]
FILES = frozenset(f"{name}.jsonl" for name in (*TASKS, *(f"{name}_e" for name in E_TASKS)))
SHOWN = 10
Rows = Source | HubRows
File = TypeVar("File")


def longbench(
    count_tokens: CountTokens,
    *,
    data_dir: Path | None = None,
    reader: str = "",
    tasks: tuple[str, ...] = (),
    profile: Profile = "fair",
    code_similarity: CodeSimilarity = "difflib",
    mirror: str | None = None,
) -> Iterator[TaskSet]:
    """The named tasks, or all whose rows are there, in the official order.

    `mirror` is a hub data set with one configuration a task (such as Xnhyacinth/LongBench); `reader` picks
    among the wordings that OPRM has for some. ValueError for an unknown task, `DataError` for data that are
    missing."""
    names = _known("longbench", tasks, TASKS, profile)
    found, note = _find_rows("longbench", names, data_dir, mirror, all_of=bool(tasks))
    for name, rows in found.items():
        task = _task(name, profile, reader, code_similarity)
        yield _task_set(task, TASKS[name].category, rows, note)


def longbench_e(
    count_tokens: CountTokens,
    *,
    data_dir: Path | None = None,
    reader: str = "",
    tasks: tuple[str, ...] = (),
    profile: Profile = "fair",
    code_similarity: CodeSimilarity = "difflib",
    mirror: str | None = None,
) -> Iterator[TaskSet]:
    """The length-balanced set, its tasks called ``<task>_e``, in buckets by stored length: below 4,000 words,
    below 8,000, and the rest. Options as in `longbench`."""
    names = [f"{name}_e" for name in _known("longbench_e", tasks, E_TASKS, profile)]
    found, note = _find_rows("longbench_e", names, data_dir, mirror, all_of=bool(tasks))
    for name, rows in found.items():
        category = TASKS[name.removesuffix("_e")].category
        task = _task(name, profile, reader, code_similarity)
        yield _task_set(task, category, rows, note, bucket=templates.bucket)


def _task(name: str, profile: Profile, reader: str, code_similarity: CodeSimilarity) -> Task:
    """The task of a profile under its own name: ``hotpotqa``, ``hotpotqa_e``, ``hotpotqa_e-paper``."""
    plain = name.removesuffix("_e")
    if profile == "paper":
        task = paper.task(plain, reader=reader, code_similarity=code_similarity)
        return replace(task, name=f"{name}-paper")
    return replace(templates.task(plain, code_similarity=code_similarity), name=name)


def _known(benchmark: str, asked: Sequence[str], names: Iterable[str], profile: Profile) -> list[str]:
    """The tasks asked for, or all that the profile has words for: OPRM's paper has none for the Chinese ones."""
    known = [name for name in names if profile == "fair" or TASKS[name].language == "en"]
    for name in asked:
        if name not in known:
            near = get_close_matches(name.removesuffix("_e"), known, n=1, cutoff=0.5)
            guess = f"did you mean {near[0]}? " if near else ""
            where = benchmark if profile == "fair" else f"{benchmark} with profile={profile}"
            raise ValueError(f"{where} has no task {name!r}: {guess}expected {', '.join(known)}")
    return [name for name in known if name in asked] if asked else known


def _find_rows(
    benchmark: str, names: Sequence[str], data_dir: Path | None, mirror: str | None, *, all_of: bool
) -> tuple[Mapping[str, Rows], str]:
    """Where each task's rows are, and what the plan says of that. `all_of` says that the tasks were named, so that
    none may be missing."""
    if mirror is not None:
        return {name: hub_rows(mirror, name, "test") for name in names}, ""
    folder = data_dir / "longbench" if data_dir else None
    if folder is None or not folder.is_dir():
        source = _from_hub(folder)
        members = zip_members(source.path, revision=source.revision)
        return _present(benchmark, names, members, source.name, all_of), source.note
    there = {path.name: path for path in sorted(folder.iterdir())}
    own = {name: path for name, path in there.items() if name in FILES}
    archive = there.get("data.zip")
    if not own and archive is None:
        held = _listed(there) if there else "nothing"
        raise DataError(
            f"{folder} holds neither <task>.jsonl nor data.zip but {held}: put LongBench's files there"
        )
    whole = all(f"{name}.jsonl" in own for name in names)  # then the zip is not looked into
    files: dict[str, Source | Path] = {**(zip_members(archive) if archive and not whole else {}), **own}
    others = [name for name in there if name not in FILES and "json" in name.casefold()]
    found = _present(benchmark, names, files, str(folder), all_of, others)
    rows = {name: local_file(file) if isinstance(file, Path) else file for name, file in found.items()}
    return rows, f"{folder}: not read, as no task has the name: {_listed(others)}" if others else ""


def _from_hub(folder: Path | None) -> Source:
    try:
        return hub_file(HUB, "data.zip", REVISION, looked=str(folder or ""))
    except DataError as problem:
        raise DataError(f"{problem}, or name a parquet copy: mirror=Xnhyacinth/LongBench") from None


def _listed(names: Iterable[str]) -> str:
    """The names, of very many the first ones."""
    names = list(names)
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _present(
    benchmark: str,
    names: Sequence[str],
    files: Mapping[str, File],
    where: str,
    all_of: bool,
    others: Sequence[str] = (),
) -> dict[str, File]:
    """The tasks' files. `DataError` for one that is missing and was asked for, or where all are; it names the
    `others` that are there too."""
    found = {name: files[f"{name}.jsonl"] for name in names if f"{name}.jsonl" in files}
    missing = [name for name in names if name not in found]
    if not missing or (found and not all_of):
        return found
    plain = next((name for name in missing if f"{name.removesuffix('_e')}.jsonl" in files), None)
    if plain:
        raise DataError(
            f"{benchmark} needs {plain}.jsonl and {where} has only {plain.removesuffix('_e')}.jsonl, which is "
            "another set of rows: add the _e file, or use --benchmark longbench"
        )
    raise DataError(
        f"{benchmark} needs {missing[0]}.jsonl, which is not in {where}: it holds "
        + ", ".join(sorted((*files, *others)))
    )


def _task_set(
    task: Task,
    category: Category,
    rows: Rows,
    note: str,
    bucket: Callable[[int], str] = lambda length: ONE_BUCKET,
) -> TaskSet:
    """Read one task. The revision of its data goes into the task, behind that of its rules beyond the first."""
    bad: list[str] = []
    rules = "" if task.revision == "1" else f"{task.revision}-"
    task = replace(task, revision=rules + rows.revision)
    examples: list[Example] = []
    for place, fields in read_rows(rows, bad):
        example = make_example(task, fields, place, category, bucket)
        if isinstance(example, str):
            bad.append(f"{place}: {example}")
        else:
            examples.append(example)
    if not examples and not bad:
        raise DataError(f"{rows.name} holds no rows: put LongBench's file there")
    ids = distinct(example.id for example in examples)
    examples = [replace(one, id=name) for one, name in zip(examples, ids, strict=True)]
    return TaskSet(task, examples, left_out=bad, note=note)


def make_example(
    task: Task, fields: Mapping[str, Any], place: str, category: Category, bucket: Callable[[int], str]
) -> Example | str:
    """One row as an example, or why it is none. The question's field is `question` in the mirror."""
    context, question = text(fields, "context"), text(fields, "input") or text(fields, "question")
    answers, length = texts(fields.get("answers")), fields.get("length")
    classes = fields.get("all_classes")
    choices = texts(classes or [])
    if not context.strip():
        return "it has no context"
    if answers is None:
        return f"answers is {kind(fields.get('answers'))}, expected a list of strings"
    if not answers:
        return "it has no answers"
    if not isinstance(length, int) or isinstance(length, bool):
        return f"length is {length!r}, expected a whole number"
    if choices is None:
        return f"all_classes is {kind(classes)}, expected a list of strings or null"
    if task.asks and not question.strip():
        return "it has no input"
    if task.metric == "classification" and not choices:
        return "it has no all_classes"
    try:
        with suppress(MissingPackage):  # which is said before the first answer, of whatever row
            metrics.score(task.metric, "", answers, choices)
    except ValueError as problem:
        return str(problem)
    number = fields.get("_id")
    name = str(number) if isinstance(number, int) else text(fields, "_id")
    return Example(
        id=name or f"{task.name}-{place.rpartition(':')[2].rpartition(' ')[2]}",
        context=context,
        question=question,
        answers=answers,
        choices=choices,
        length=length,
        bucket=bucket(length),
        tags={"category": category, "language": text(fields, "language") or "en"},
    )
