"""One JSON line per answer: what a record holds, its key, and how it reaches the disk and comes back.

A record is appended and synced before the next example starts, so that a killed process loses at most the
line being written; that torn last line is cut off and its example done again. Torch-free: the reports read a
run folder through `read_records`. Exercised by ``pytest tests/comparison/test_records.py``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

SCHEMA = 1
KEY_VERSION = 1
UNDEFINED = "undefined: "
Kinds = Sequence[tuple[Any, str, str]]
"""Types of JSON values in Python, in words, and the names of the fields that are of that type."""
KINDS: Kinds = (
    (str, "text", "key model method task example cluster bucket prediction metric version session"),
    (str | None, "text or null", "error commit"),
    (bool, "true or false", "control empty truncated cold"),
    (int | float | None, "a number", "length"),
    (dict, "an object", "tags cost details"),
    (list, "a list", "answers"),
)
COST_KINDS: Kinds = (
    (dict, "an object", "seconds"),
    (int | float | None, "a number", "prompt_tokens new_tokens calls encoder_tokens peak_bytes halvings"),
)


class RecordError(ValueError):
    """A record file that cannot be read, written or locked; the message says which and what to do."""


@dataclass(frozen=True)
class Record:
    """One answer. `score` is 0 to 1; an `error` record has score 0 and is tried again by the next run, unless
    the error starts with ``undefined: `` (the method has no answer here by definition). `cost` is
    `models.meter.Cost.to_json()`; `cold` marks the first answer of a method and task in a process; `version`
    names the code that gave the answer, and `session` what it ran on (an entry of ``run.json``)."""

    key: str
    model: str
    method: str
    control: bool
    task: str
    example: str
    cluster: str
    bucket: str
    tags: Mapping[str, str | int | float]
    length: int
    prediction: str
    answers: tuple[str, ...]
    score: float
    metric: str
    empty: bool
    truncated: bool
    error: str | None
    spans: tuple[tuple[int, int], ...] | None
    cost: Mapping[str, Any]
    cold: bool
    details: Mapping[str, Any]
    version: str = ""
    commit: str | None = None
    session: str = ""
    schema: int = SCHEMA

    @property
    def final(self) -> bool:
        """True where the next run has nothing to do: an answer, or an example without one by definition."""
        return self.error is None or self.error.startswith(UNDEFINED)

    @property
    def failed(self) -> bool:
        """True where the method went wrong; such a record is tried again."""
        return not self.final

    def to_json(self) -> dict[str, Any]:
        return vars(self) | {name: dict(getattr(self, name)) for name in ("tags", "cost", "details")}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Record:
        """A record from its JSON object; unknown fields are an error, as they mean a newer schema."""
        if row.get("schema") != SCHEMA:
            raise RecordError(
                f"record schema {row.get('schema')!r}, expected {SCHEMA}: another version wrote it"
            )
        try:
            check_kinds(row, KINDS)
            check_kinds(row["cost"], COST_KINDS, "cost.")
            check_values(row["answers"], str, "text", "answers")
            check_values(row["cost"].get("seconds", {}).values(), int | float, "a number", "cost.seconds")
            spans = row["spans"]
            pairs = None if spans is None else tuple((int(start), int(end)) for start, end in spans)
            return cls(**{**row, "answers": tuple(row["answers"]), "spans": pairs})
        except (TypeError, ValueError, KeyError) as problem:
            raise RecordError(f"not a record: {problem}") from problem


def check_kinds(row: Mapping[str, Any], kinds: Kinds, within: str = "") -> None:
    """Raises `RecordError` for the first field of a row read from JSON that is of another type; `within` goes
    before its name."""
    for kind, words, names in kinds:
        for name in names.split():
            if name in row and not isinstance(row[name], kind):
                raise RecordError(f"{within}{name} is {json.dumps(row[name])[:60]}, expected {words}")


def check_values(values: Iterable[Any], kind: Any, words: str, within: str) -> None:
    """Raises `RecordError` for the first value of a list or an object `within` a row that is of another type."""
    for value in values:
        if not isinstance(value, kind):
            raise RecordError(f"{within} holds {json.dumps(value)[:60]}, expected {words}")


def key(parts: Mapping[str, Any]) -> str:
    """SHA-256 (hex) over the versioned canonical JSON of everything that can change an answer."""
    return canonical_digest({"key_version": KEY_VERSION, **parts})


def printable(text: str) -> str:
    """A text for the terminal, without what would steer it: data and answers may hold any character."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def canonical_digest(value: Any) -> str:
    """SHA-256 (hex) of a JSON value in its canonical form: sorted keys, no spaces, ASCII."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


# --- where a record lies


def slug(label: str) -> str:
    """A folder name: what is safe of a label, then eight hex digits of its SHA-256; 100 letters at most."""
    safe = re.sub(r"[^A-Za-z0-9_.]+", "-", label).strip("-.")[:91]
    mark = hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{safe}-{mark}" if safe else mark


def task_file(task: str) -> str:
    """A task's name as part of a file name: itself where that is safe, its slug otherwise."""
    return task if re.fullmatch(r"[A-Za-z0-9_-]{1,100}", task) else slug(task)


def record_path(run_dir: Path, model: str, method: str, task: str, writer: str) -> Path:
    return group_folder(run_dir, model, method) / f"{task_file(task)}.{writer}.jsonl"


def group_folder(run_dir: Path, model: str, method: str) -> Path:
    return run_dir / "records" / slug(model) / slug(method)


# --- writing


class RecordFile:
    """One writer's open file. The caller holds the writer's lock; opening cuts off a torn last line."""

    def __init__(self, path: Path):
        self.path = path
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
            _cut_torn_line(path)

    def append(self, record: Record) -> None:
        """Write one line and sync it; a full disk is a `RecordError`, and all earlier lines are kept."""
        line = json.dumps(record.to_json(), ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"
        with disk_errors(self.path):
            while line:
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _cut_torn_line(path: Path) -> None:
    """Truncate the file to its last whole line."""
    content = path.read_bytes()
    if not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """What the disk refuses is a `RecordError` that says what to do."""
    try:
        yield
    except OSError as problem:
        raise RecordError(
            f"cannot write {path}: {problem.strerror or problem}; the records before it are safe, "
            "make room (or the folder writable) and run the same command again"
        ) from problem


def write_whole(path: Path, text: str) -> None:
    """Write a file under a temporary name, then rename it: a reader sees the old or the new, never half."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


# --- reading


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file, one a line. A torn last line is left out; another bad line is an error."""
    text = path.read_bytes()
    rows = []
    for number, line in enumerate(text[: text.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise RecordError(
                f"{path}:{number} is not a JSON object; delete the line and its example is done again"
            )
        rows.append(row)
    return rows


def read_file(path: Path) -> list[Record]:
    """The records of one file, in the order of writing."""
    records = []
    for number, row in enumerate(read_lines(path), start=1):
        try:
            records.append(Record.from_json(row))
        except RecordError as problem:
            raise RecordError(f"{path}:{number}: {problem}") from problem
    return records


def read_group(run_dir: Path, model: str, method: str, task: str) -> list[Record]:
    """Every record of one method and task, by any writer."""
    return _read_task(group_folder(run_dir, model, method).glob(f"{task_file(task)}.*.jsonl"), task)


def read_task(run_dir: Path, model: str, task: str) -> list[Record]:
    """Every record of one task, by any method and writer."""
    return _read_task((run_dir / "records" / slug(model)).glob(f"*/{task_file(task)}.*.jsonl"), task)


def _read_task(paths: Iterable[Path], task: str) -> list[Record]:
    # the file of a task whose name goes on after a dot is found too
    return [record for path in sorted(paths) for record in read_file(path) if record.task == task]


class RunVersions:
    """The code and the metrics that ``run.json`` names: what older code gave, or another metric scored, is left
    out, so that a half-finished second run never mixes two of them in one mean.

    Raises KeyError or TypeError where `run` is malformed."""

    def __init__(self, run: Mapping[str, Any]) -> None:
        self._versions = {one["label"]: one["version"] for one in run["methods"] if "version" in one}
        self._seeing = {one["label"] for one in run["methods"] if "example" in one.get("takes", ())}
        self._tasks = {task["name"]: task for one in run.get("benchmarks", ()) for task in one["tasks"]}

    def same_code(self, record: Record) -> bool:
        """Whether an answer is of the method's present code, or of the import that is named for the task."""
        imports = self._tasks.get(record.task, {}).get("imports", {})
        version = imports.get(record.method, self._versions.get(record.method))
        return version in (None, record.version)

    def same_metric(self, record: Record) -> bool:
        """Whether a score is of the task's present metric; an error has none."""
        metric = self._tasks.get(record.task, {}).get("metric")
        return record.error is not None or metric in (None, record.metric)

    def answer_stands(self, record: Record) -> bool:
        """Whether the method would give the answer under the task's present metric too: one that saw how answers
        are scored is asked again."""
        return self.same_metric(record) or record.method not in self._seeing


def latest(records: Iterable[Record]) -> list[Record]:
    """One record an example: the last, an answer rather than an error."""
    best: dict[tuple[str, str, str, str], Record] = {}
    for record in records:
        place = (record.model, record.method, record.task, record.example)
        if place not in best or record.final or best[place].failed:
            best[place] = record
    return list(best.values())


def read_records(run_dir: Path) -> list[Record]:
    """The `latest` record of every example in a run folder, of those of `RunVersions`, in a stable order."""
    run_dir = Path(run_dir)
    try:
        run = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
        versions = RunVersions(run)
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise RecordError(
            f"{run_dir} is not a run folder: run.json is missing or malformed ({problem})"
        ) from problem
    paths = sorted((run_dir / "records").glob("*/*/*.jsonl"))
    found = (record for path in paths for record in read_file(path))
    return latest(record for record in found if versions.same_code(record) and versions.same_metric(record))
