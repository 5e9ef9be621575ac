"""A fake run folder, seeded: what a comparison leaves behind, made without a model; its files changed and read."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comparison.records import record_path, task_file

Row = dict[str, Any]
SECONDS = {"full": 0.10, "oprm": 0.11, "rag": 0.03}


@dataclass(frozen=True)
class FakeTask:
    """`cells` are (bucket, tags); `samples` questions in each, `per_document` of them sharing a cluster."""

    name: str
    cells: tuple[tuple[str, Mapping[str, Any]], ...]
    samples: int
    confirmatory: bool = True
    per_document: int = 1

    @property
    def n(self) -> int:
        return len(self.cells) * self.samples


@dataclass(frozen=True)
class FakeRun:
    """What to write. `skill(method, task, bucket, tags)` is the chance of a right answer; `edit` changes a
    record before it is written, or drops it by returning None."""

    methods: tuple[tuple[str, bool], ...]
    tasks: tuple[FakeTask, ...]
    skill: Callable[[str, str, str, Mapping[str, Any]], float]
    seed: int = 0
    edit: Callable[[Row], Row | None] = lambda row: row
    settings: Mapping[str, Any] = field(default_factory=dict)
    graded: bool = False
    benchmark: str = "fake"
    label: str = "fake"
    metric: str = "value@1"
    imported: tuple[str, ...] = ()
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.json").write_text(json.dumps(self._info()))
        for task in self.tasks:
            examples = list(_examples(task))
            path = folder / "examples" / f"{task_file(task.name)}.jsonl"
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(json.dumps(example) + "\n" for example in examples))
            for method, control in self.methods:
                rows = (self._record(method, control, task, example, i) for i, example in enumerate(examples))
                lines = [json.dumps(kept) + "\n" for row in rows if (kept := self.edit(row)) is not None]
                if lines:
                    target = record_path(folder, "tiny", method, task.name, "serial")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_text("".join(lines))
        return folder

    def _info(self) -> Row:
        settings = {
            **{
                "model": "tiny",
                "path": "models/tiny",
                "revision": "local-0123",
                "dtype": "float32",
                "seed": 0,
            },
            **{"baseline": "full", "kernel": "numba", "device": "cpu"},
            **self.settings,
        }
        tasks = [
            {
                "name": task.name,
                "revision": "1",
                "metric": self.metric,
                "n": task.n,
                "confirmatory": task.confirmatory,
                "left_out": {
                    "rows": len(self.left_out.get(task.name, ())),
                    "first": list(self.left_out.get(task.name, ()))[:20],
                },
            }
            for task in self.tasks
        ]
        return {
            "schema": 1,
            "command": "python run_compare.py --out runs/fake",
            "created": "2026-01-01T00:00:00Z",
            "settings": settings,
            "methods": [
                {"label": label, "spec": label, "control": control}
                | ({"imported": True} if label in self.imported else {})
                for label, control in self.methods
            ],
            "benchmarks": [{"label": self.label, "spec": self.benchmark, "tasks": tasks}],
            "limit": None,
            "versions": {"python": "3.11.0", "torch": "2.13.0"},
            "commit": "0123456789abcdef",
            "dirty": False,
            "machine": {},
            "trained_length": 1500,
        }

    def _record(self, method: str, control: bool, task: FakeTask, example: Row, place: int) -> Row:
        # The difficulty is shared by all methods and the document's mood by its questions: scores correlate.
        hard = random.Random(f"{self.seed} {task.name} {example['id']}").random()
        mood = random.Random(f"{self.seed} {example['cluster']}").uniform(-0.1, 0.1)
        rng = random.Random(f"{self.seed} {method} {task.name} {example['id']}")
        right = 0.6 * hard + 0.4 * rng.random() + mood < self.skill(
            method, task.name, example["bucket"], example["tags"]
        )
        score = float(right)
        if self.graded:
            score = round(0.5 * score + 0.5 * rng.random(), 3)
        seconds = _seconds(method) * rng.uniform(0.9, 1.2) * (20 if place == 0 else 1)
        phases = {"retrieve": 0.2 * seconds} if method.startswith("rag") else {}
        return {
            "schema": 1,
            "key": f"{method}/{task.name}/{example['id']}",
            "model": "tiny",
            "method": method,
            "control": control,
            "task": task.name,
            "example": example["id"],
            "cluster": example["cluster"],
            "bucket": example["bucket"],
            "tags": example["tags"],
            "length": example["length"],
            "prediction": "Paris" if right else "Rome",
            "answers": ["Paris"],
            "score": score,
            "metric": self.metric,
            "empty": False,
            "truncated": False,
            "error": None,
            "spans": _spans(method, example, right, rng),
            "cost": {}
            if method in self.imported
            else {
                "seconds": {"prefill": 0.8 * seconds, "total": seconds} | phases,
                "prompt_tokens": 250 if _picks(method) and method != "oprm" else 1200,
                "new_tokens": 3,
                "calls": 9 if method == "oprm" else 4,
                "encoder_tokens": 0,
                "peak_bytes": 300 << 20,
                "halvings": 0,
            },
            "cold": place == 0,
            "details": {},
            "version": "1",
            "commit": "0123456789abcdef",
        }


def _seconds(method: str) -> float:
    return SECONDS.get(method.split(":")[0], 0.02)


def _picks(method: str) -> bool:
    return method.split(":")[0] in ("oprm", "rag", "oracle_chunk", "random_chunk")


def _spans(method: str, example: Row, right: bool, rng: random.Random) -> list[list[int]] | None:
    """Chunks of 1,000 characters; a right answer mostly comes from the chunk with the evidence."""
    if not _picks(method):
        return None
    start = 1000 * rng.randrange(5)
    if example["evidence"] and (right or rng.random() < 0.1):
        start = example["evidence"][0][0] // 1000 * 1000
    return [[start, start + 1000]]


def _examples(task: FakeTask):
    number = 0
    for bucket, tags in task.cells:
        for _ in range(task.samples):
            place = random.Random(f"{task.name} {number}").randrange(4950)
            yield {
                "id": f"{task.name}-{number:04d}",
                "question": "Where is the office of Alden?",
                "answers": ["Paris"],
                "choices": ["Paris", "Rome"],
                "evidence": [[place, place + 40]] if task.confirmatory else [],
                "cluster": f"doc-{number // task.per_document}"
                if task.per_document > 1
                else f"{task.name}-{number}",
                "bucket": bucket,
                "tags": dict(tags),
                "length": 1200,
                "digest": "0" * 16,
                "around": "",
            }
            number += 1


METHODS = (
    ("full", False),
    ("truncate", False),
    ("closed_book", True),
    ("random_chunk", True),
    ("oracle_chunk", True),
    ("oprm", False),
    ("rag:retriever=bm25", False),
)


def change_plan(folder: Path, **changed: Any) -> None:
    """Give ``run.json`` other values."""
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def change_examples(path: Path, change: Callable[[Row], Row]) -> None:
    """Change every line of a file of examples."""
    rows = [change(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read_csv(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def facts_task(name: str, facts: tuple[int, ...], samples: int, confirmatory: bool = True) -> FakeTask:
    return FakeTask(name, tuple((str(n), {"facts": n}) for n in facts), samples, confirmatory)


def needle_task(lengths: tuple[int, ...], depths: tuple[int, ...], samples: int) -> FakeTask:
    cells = tuple(
        (str(size), {"length": size, "depth": depth, "facts": 1}) for size in lengths for depth in depths
    )
    return FakeTask("needle", cells, samples)


def overflow(method: str, task: str, bucket: str, tags: Mapping[str, Any]) -> float:
    """The story of the suite: the whole context overflows, chunks do not."""
    name = method.split(":")[0]
    if task.endswith("_absent"):
        return {"full": 0.6, "oprm": 0.75, "closed_book": 1.2}.get(name, 0.8)
    if task == "needle":
        reach = 1.05 - 0.00012 * max(0, tags["length"] - 1000) - 0.001 * abs(50 - tags["depth"])
        return {"closed_book": 0.1, "truncate": 0.5, "random_chunk": 0.3, "full": reach}.get(name, 0.95)
    if task == "multihop":
        return {"full": 0.4, "oprm": 0.7, "closed_book": 0.05, "oracle_chunk": 0.8}.get(name, 0.45)
    fall = 1.0 - 0.0075 * int(bucket)
    return {"full": fall, "oprm": 0.93, "rag": 0.8, "closed_book": 0.03, "oracle_chunk": 0.97}.get(name, 0.3)


DEMO = FakeRun(
    methods=METHODS,
    tasks=(
        facts_task("recall", (10, 25, 50, 75, 100), 60),
        facts_task("recall_absent", (10, 25, 50, 75, 100), 25, confirmatory=False),
        needle_task((1000, 2000, 4000), (0, 25, 50, 75, 100), 10),
        FakeTask("multihop", (("2", {"hops": 2}),), 70),
    ),
    skill=overflow,
)

SMALL = FakeRun(
    methods=(("full", False), ("oprm", False), ("rag:retriever=bm25", False), ("closed_book", True)),
    tasks=(
        facts_task("recall", (10, 100), 30),
        facts_task("recall_absent", (10, 100), 12, confirmatory=False),
        needle_task((1000, 2000), (0, 100), 10),
    ),
    skill=overflow,
)
