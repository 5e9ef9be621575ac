"""A run folder's `run.json` and `examples/`: what was asked for, and what was asked.

A later run may extend a folder (more methods, more benchmarks, a larger limit); one that would mix answers
made under other settings is refused, and the field that differs is named.
Exercised by ``pytest tests/comparison/test_folder.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.base import Example, Task, digest
from comparison import provenance
from comparison.grid import PlannedTask
from comparison.plan import Plan, PlanError, Resolved
from comparison.records import canonical_digest, read_lines, task_file, write_whole
from models.revision import LOCAL, folder_revision

if TYPE_CHECKING:
    from comparison.answering import Facts
    from comparison.pending import Contender

SCHEMA = 1
AROUND = 300
"""Characters kept on either side of an example's evidence."""
NAMED = 20


class FolderError(ValueError):
    """A run folder that was made under other settings; the message names the field."""


def wording(task: Task) -> dict[str, Any]:
    """What every prompt of a task is made of, and what stops its answers."""
    words = {
        "before": task.before,
        "after": task.after,
        "clause": task.no_answer_clause,
        "chat": task.chat,
        "retrievable": task.retrievable,
        "max_new_tokens": task.max_new_tokens,
        "stop": list(task.stop),
        "gather": task.gather,
    }
    return words | ({"second": wording(task.second)} if task.second else {})


def task_entry(planned: PlannedTask) -> dict[str, Any]:
    """A task's entry in `run.json`; of the rows that were left out the first few are named."""
    return {
        "name": planned.task.name,
        "revision": planned.task.revision,
        "metric": planned.metric,
        "n": len(planned.examples),
        "confirmatory": planned.confirmatory,
        "max_new_tokens": planned.task.max_new_tokens,
        "wording": canonical_digest(wording(planned.task))[:16],
        "imports": {label: found.version for label, found in planned.predictions.items()},
        "import_losses": {label: found.losses for label, found in planned.predictions.items()},
        "left_out": {"rows": len(planned.left_out), "first": list(planned.left_out[:NAMED])},
    }


def known_settings(plan: Plan, tasks: Sequence[PlannedTask]) -> dict[str, Any]:
    """The part of `run.json` that is known before the reader is loaded, to refuse a folder early.

    Raises `PlanError` for a task of a benchmark that the plan does not have."""
    _check_tasks(plan, tasks)
    settings = {
        "model": plan.reader.name,
        "path": plan.reader.path,
        "seed": plan.seed,
        "baseline": plan.baseline,
    }
    if Path(plan.reader.path).is_dir():
        settings["revision"] = folder_revision(Path(plan.reader.path))
    if plan.device != "auto":
        settings["device"] = plan.device
    if plan.dtype != "auto":
        settings["dtype"] = plan.dtype
    return {
        "schema": SCHEMA,
        "settings": settings,
        "limit": plan.limit,
        "methods": [{"label": one.label, "spec": one.spec} for one in plan.methods],
        "benchmarks": [
            {
                "label": benchmark.label,
                "spec": benchmark.spec,
                "tasks": [task_entry(planned) for planned in tasks if _is_of(planned, benchmark)],
            }
            for benchmark in plan.benchmarks
        ],
    }


def _is_of(planned: PlannedTask, benchmark: Resolved) -> bool:
    """Whether a task is of a plan's benchmark: tasks may have been loaded for another plan, or in another process."""
    return (planned.benchmark.label, planned.benchmark.spec) == (benchmark.label, benchmark.spec)


def _check_tasks(plan: Plan, tasks: Sequence[PlannedTask]) -> None:
    for planned in tasks:
        if not any(_is_of(planned, benchmark) for benchmark in plan.benchmarks):
            raise PlanError(
                f"task {planned.task.name} is of the benchmark {planned.benchmark.spec}, which the plan does not "
                "have: load the tasks of this plan"
            )


def describe_run(
    plan: Plan, tasks: Sequence[PlannedTask], contenders: Sequence[Contender], facts: Facts, command: str
) -> dict[str, Any]:
    """What `run.json` holds: the settings that must not change, then what was planned, then provenance."""
    known = known_settings(plan, tasks)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    session = {"command": command, **provenance.session(facts.settings["kernel"], facts.place, facts.gpu)}
    name = canonical_digest(session)[:8]
    return {
        **known,
        "created": created,
        "settings": known["settings"] | dict(facts.settings),
        "methods": [_method_entry(contender) for contender in contenders],
        "trained_length": plan.reader.trained_length,
        **session,
        "session": name,
        "sessions": {name: {"created": created, **session}},
    }


def _method_entry(one: Contender) -> dict[str, Any]:
    entry = {
        "label": one.label,
        "spec": one.resolved.spec,
        "control": one.traits.control,
        "takes": sorted(one.traits.takes),
        "version": one.traits.version,
    }
    return entry | ({"imported": True} if one.imported else {})


def write_run(run_dir: Path, new: Mapping[str, Any], *, alone: bool = True) -> dict[str, Any]:
    """Write `run.json`, extended where the folder has one already, and return it.

    Raises `FolderError` if the folder was made under settings that would change its answers, or if it is not
    written `alone` and the limit is another: shards of two limits could give an answer twice.
    """
    run = dict(new) if (old := _read_run(run_dir)) is None else _extended(run_dir, old, new)
    if old is not None and not alone and old["limit"] != new["limit"]:
        raise FolderError(
            f"{run_dir} is being written by shards of --limit {old['limit'] or 'none'}, and this run has "
            f"{new['limit'] or 'none'}: wait for them"
        )
    write_whole(run_dir / "run.json", json.dumps(run, indent=1, ensure_ascii=True) + "\n")
    return run


def check_folder(run_dir: Path, known: Mapping[str, Any]) -> None:
    """Raises `FolderError` where a folder was made under other settings, as far as they are known yet, and for a path
    at which there can be no folder."""
    places = (run_dir.absolute(), *run_dir.absolute().parents)
    there = next(path for path in places if path.exists() or path.is_symlink())
    if not there.is_dir():
        what = "a file" if there.exists() else f"a link to {there.readlink()}, which is not there"
        raise FolderError(f"--out {run_dir}: {there} is {what}, expected a folder")
    if (old := _read_run(run_dir)) is not None:
        _extended(run_dir, old, known)


def _read_run(run_dir: Path) -> dict[str, Any] | None:
    path = run_dir / "run.json"
    if not path.exists():
        return None
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise FolderError(f"{path} is malformed ({problem!r}): choose another --out") from problem
    if not isinstance(run, dict):
        raise FolderError(f"{path} is malformed (no JSON object): choose another --out")
    return run


def _extended(run_dir: Path, old: Any, new: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return extend(old, new)
    except (KeyError, TypeError, AttributeError) as problem:
        raise FolderError(
            f"{run_dir / 'run.json'} is malformed ({problem!r}): choose another --out"
        ) from problem
    except FolderError as problem:
        raise FolderError(f"{run_dir} {problem}: choose another --out or the old setting") from None


def extend(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The old `run.json` with what the new one adds. Raises `FolderError` naming the field that differs."""
    _require("schema", old["schema"], new["schema"])
    for field, value in new["settings"].items():
        if field == "path" and new["settings"].get("revision", "").startswith(LOCAL):
            continue  # a local folder is what is in it, wherever it lies
        _require(field, old["settings"].get(field), value)
    _refuse_smaller_limit(old["limit"], new["limit"])
    sessions = old.get("sessions", {})  # kept as they were, in order
    return {
        **new,
        "created": old["created"],
        "sessions": {**sessions, **new.get("sessions", {}), **sessions},
        "methods": _extend_methods(old["methods"], new["methods"]),
        "benchmarks": _extend_benchmarks(old["benchmarks"], new["benchmarks"]),
    }


def _require(field: str, old: Any, new: Any) -> None:
    if old != new:
        raise FolderError(f"was made with {field} {old!r}, and this run has {new!r}")


def _refuse_smaller_limit(old: int | None, new: int | None) -> None:
    """Fewer examples would leave the methods of one folder with unequal sets."""
    if new is not None and (old is None or new < old):
        raise FolderError(f"was made with --limit {old or 'none'}, and this run has the smaller {new}")


def _extend_methods(old: Sequence[dict], new: Sequence[dict]) -> list[dict]:
    """By label; a new version of a method's code takes the place of the old (its answers are redone)."""
    methods = {method["label"]: method for method in old}
    for method in new:
        if method["label"] in methods:
            _require(f"method {method['label']}", methods[method["label"]]["spec"], method["spec"])
        methods[method["label"]] = method
    return list(methods.values())


def _extend_benchmarks(old: Sequence[dict], new: Sequence[dict]) -> list[dict]:
    benchmarks = {benchmark["label"]: benchmark for benchmark in old}
    known = {task["name"]: (task, benchmark) for benchmark in old for task in benchmark["tasks"]}
    for benchmark in new:
        tasks = []
        for task in benchmark["tasks"]:
            before, source = known.get(task["name"], (task, benchmark))
            _require(f"the benchmark of task {task['name']}", source["spec"], benchmark["spec"])
            _require(f"data revision of task {task['name']}", before["revision"], task["revision"])
            _require(f"wording of task {task['name']}", before["wording"], task["wording"])
            imports = {
                name: {**before.get(name, {}), **task.get(name, {})} for name in ("imports", "import_losses")
            }
            tasks.append({**task, **imports})
        benchmarks[benchmark["label"]] = {**benchmark, "tasks": tasks}
    return list(benchmarks.values())


def example_rows(planned: PlannedTask) -> list[dict[str, Any]]:
    """A task's examples as they are kept in the run folder; long ones take minutes to be made or read."""
    return [json.loads(json.dumps(example_row(example))) for example in planned.examples]


def write_examples(run_dir: Path, task: str, asked: Iterable[dict[str, Any]]) -> None:
    """Write `examples/<task>.jsonl`: what a report needs to know of each example, and never its context.

    Raises `FolderError` where an example of the same id was another one before.
    """
    path = run_dir / "examples" / f"{task_file(task)}.jsonl"
    rows = {row["id"]: row for row in (read_lines(path) if path.exists() else [])}
    for row in asked:
        if rows.setdefault(row["id"], row) != row:
            raise FolderError(
                f"{run_dir} holds other data of task {task} (example {row['id']} differs): "
                "choose another --out"
            )
    write_whole(path, "".join(json.dumps(row) + "\n" for row in rows.values()))


def example_row(example: Example) -> dict[str, Any]:
    """One example as it is kept in the run folder; `around` has the text beside each evidence span."""
    return {
        "id": example.id,
        "question": example.question,
        "answers": list(example.answers),
        "choices": list(example.choices),
        "evidence": [list(span) for span in example.evidence],
        "cluster": example.cluster,
        "bucket": example.bucket,
        "tags": dict(example.tags),
        "length": example.length,
        "digest": digest(example.context),
        "around": list(_around(example.context, example.evidence)),
    }


def _around(context: str, evidence: Iterable[tuple[int, int]]) -> Iterable[str]:
    for start, end in evidence:
        yield context[max(0, start - AROUND) : end + AROUND]
