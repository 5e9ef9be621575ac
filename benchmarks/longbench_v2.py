"""LongBench v2 (Bai et al. 2025, arXiv 2412.15204): 503 questions of four options over 8k to 2M words.

Rows come from ``DATA_DIR/longbench_v2/data.json`` or from the hub's file, a JSON array of 465 MB that is never
loaded whole: it is scanned once, and a row is read when it is asked for. The buckets are the set's own: short,
medium, long. As officially, texts lose the blanks at their ends; an empty or unreadable reply counts as wrong,
where the official runner skips it.

The wordings are the repository's own ``prompts/*.txt`` (MIT, see longbench/LICENSE-LongBench), kept in
``longbench/prompts_v2.json``; those for retrieved chunks and for no context are data only: every method of this suite
reads in the wording of the whole document. ``cot=true`` is the chain of thought, in two turns: the first reasons over
the document, the second concludes from the reasoning alone.
Exercised by ``python run_compare.py --benchmark longbench_v2 --data-dir DIR --model HUB_ID --limit 30``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.base import CountTokens, Example, Task, TaskSet
from benchmarks.sources import hub_file, local_file, text
from benchmarks.stored import StoredExamples

HUB = "zai-org/LongBench-v2"
REVISION = "2b48e494f2c7a2f0af81aae178e05c7e1dde0fe9"
TEMPLATES: Mapping[str, str] = json.loads(
    (Path(__file__).with_name("longbench") / "prompts_v2.json").read_text(encoding="utf-8")
)
"""By file name, with the marks $DOC$, $Q$, $C_A$ ... $C_D$, and $COT$ for a reasoning turn's text."""
NEW_TOKENS, REASONING_TOKENS = 128, 1024
LETTERS = ("A", "B", "C", "D")
LENGTHS = ("short", "medium", "long")


def longbench_v2(
    count_tokens: CountTokens, *, data_dir: Path | None = None, cot: bool = False
) -> list[TaskSet]:
    """One task, in buckets by length; difficulty and domain are tags. With `cot` the reader reasons first (1,024
    tokens), then answers from its reasoning. `DataError` for data that are missing or are no JSON array."""
    path = data_dir / "longbench_v2" / "data.json" if data_dir else None
    if path and path.is_file():
        source = local_file(path)
    else:
        source = hub_file(HUB, "data.json", REVISION, looked=str(path or ""))
    bad: list[str] = []
    examples = StoredExamples(source, make_example, bad, array=True)
    asked = replace(task(cot=cot), revision=source.revision)
    return [TaskSet(asked, examples, left_out=bad, note=source.note)]


def make_example(row: Mapping[str, Any]) -> Example | str:
    """One row as an example, or why it is none."""
    fields = ("_id", "context", "question", *(f"choice_{letter}" for letter in LETTERS))
    texts = {field: text(row, field).strip() for field in fields}
    missing = next((field for field in fields if not texts[field]), None)
    if missing:
        return f"it has no {missing}"
    if row.get("answer") not in LETTERS:
        return f"answer is {row.get('answer')!r}, expected A, B, C or D"
    if row.get("length") not in LENGTHS:
        return f"length is {row.get('length')!r}, expected short, medium or long"
    return Example(
        id=texts["_id"],
        context=texts["context"],
        question=texts["question"],
        answers=(text(row, "answer"),),
        choices=LETTERS,
        length=len(texts["context"].split()),
        bucket=text(row, "length"),
        tags={field: text(row, field) for field in ("difficulty", "domain", "sub_domain")},
        slots={field: texts[field] for field in fields if field.startswith("choice_")},
    )


def task(*, cot: bool = False) -> Task:
    """The official wording: the answer at once, or (`cot`) after a turn of reasoning, under a name of its own.

    The examples' slots are choice_A to choice_D, as the fields of the data are called."""
    if not cot:
        return _turn("longbench_v2", "0shot", "$DOC$", NEW_TOKENS)
    second = _turn("longbench_v2_cot", "0shot_cot_ans", "$COT$", NEW_TOKENS)
    return _turn("longbench_v2_cot", "0shot_cot", "$DOC$", REASONING_TOKENS, second)


def _turn(name: str, template: str, context: str, new_tokens: int, second: Task | None = None) -> Task:
    before, _, after = _with_slots(TEMPLATES[template]).partition(context)
    return Task(
        name=name,
        before=before,
        after=after,
        metric="longbench_v2",
        max_new_tokens=new_tokens,
        stop=(),
        second=second,
    )


def _with_slots(template: str) -> str:
    for letter in LETTERS:
        template = template.replace(f"$C_{letter}$", f"{{choice_{letter}}}")
    return template.replace("$Q$", "{question}")
