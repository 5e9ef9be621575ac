"""Questions of your own: one JSON object a line with `context`, `question` and `answers`, and `id` if you like.

Exercised by ``python run_compare.py --benchmark own_questions:file=questions.jsonl --data-dir DIR``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

NEEDED = {"context": str, "question": str, "answers": list}


def own_questions(
    count_tokens: Callable[[str], int], *, data_dir: Path | None = None, file: Path = Path("questions.jsonl")
) -> list[Any]:
    """One task; the bucket is one. ValueError where there is no such file, or nothing in it that can be asked."""
    from benchmarks.base import Example, Task, TaskSet

    path = (data_dir or Path()) / file
    if not path.is_file():
        raise ValueError(f"own_questions: there is no {path}: name its folder with --data-dir, or file=...")
    rows, left_out = read(path)
    if not rows:
        raise ValueError(
            f"own_questions: {path} has no question ({left_out[0] if left_out else 'it is empty'})"
        )
    task = Task(
        name="own_questions",
        before="Answer from the text. If the answer is unknown, respond Error.\n\n",
        after="\n\nQuestion: {question} Answer:",
        metric="qa_f1",
        max_new_tokens=32,
        revision=hashlib.sha256(path.read_bytes()).hexdigest()[:16],
    )
    examples = [
        Example(
            id=str(row.get("id", f"line-{line}")),
            context=row["context"],
            question=row["question"],
            answers=tuple(row["answers"]),
            length=count_tokens(row["context"]),
            bucket="own",
        )
        for line, row in rows
    ]
    return [TaskSet(task, examples, left_out=left_out)]


def read(path: Path) -> tuple[list[tuple[int, dict[str, Any]]], list[str]]:
    """The rows that can be asked, with their lines; and "FILE:LINE: why" for every other line."""
    rows, left_out = [], []
    for line, text in enumerate(path.read_bytes().splitlines(), start=1):
        if text.strip():
            row = parse(text)
            if isinstance(row, str):
                left_out.append(f"{path}:{line}: {row}")
            else:
                rows.append((line, row))
    return rows, left_out


def parse(text: bytes) -> dict[str, Any] | str:
    """One row, or why it is none."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return "not a whole JSON object"
    if not isinstance(row, dict):
        return "not a JSON object"
    wrong = next(
        (name for name, kind in NEEDED.items() if not row.get(name) or type(row[name]) is not kind), ""
    )
    if wrong:
        return f"{wrong} is missing, empty or no {NEEDED[wrong].__name__}"
    if not all(isinstance(answer, str) for answer in row["answers"]):
        return "answers is no list of strings"
    return row
