"""HotpotQA (arXiv:1809.09600), distractor setting: two paragraphs among ten hold the answer.

Reads ``DATA_DIR/multihop/hotpotqa.jsonl`` (or ``.json``, as released), else the hub's ``hotpotqa/hotpot_qa``,
whose commit is recorded: no pin is published. The bucket is the type, bridge or comparison. CC BY-SA 4.0. Exercised by
``python run_compare.py --benchmark "hotpotqa:lengths=8k;16k,samples=100" --data-dir DIR``; what others
predicted is scored by ``python -m benchmarks.hotpotqa score --gold FILE --predictions FILE``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.base import CountTokens, TaskSet
from benchmarks.paragraphs import (
    AnswerMetric,
    Evidence,
    Question,
    local_source,
    need_text,
    paragraph_sets,
    places,
    supported,
)
from benchmarks.sources import hub_rows

HUB = "hotpotqa/hotpot_qa"


def hotpotqa(
    count_tokens: CountTokens,
    *,
    seed: int = 0,
    data_dir: Path | None = None,
    lengths: tuple[int, ...] = (),
    samples: int | None = None,
    evidence: Evidence = "paragraphs",
    metric: AnswerMetric = "f1",
) -> list[TaskSet]:
    """Every question of the file, or `samples` of them evenly over the types; with `lengths` (tokens of the
    whole prompt) their long versions. `evidence` is the supporting paragraphs, or the supporting sentences;
    exact match (``metric=em``) is a task of its own.
    """
    source = local_source(data_dir, "hotpotqa") or hub_rows(
        HUB, "distractor", "validation", looked=places(data_dir, "hotpotqa")
    )
    return paragraph_sets(
        count_tokens,
        "hotpotqa",
        source,
        parse,
        [],
        seed=seed,
        lengths=lengths,
        samples=samples,
        evidence=evidence,
        metric=metric,
    )


def parse(row: dict[str, Any]) -> Question:
    """One row, as released (`_id`, lists of pairs) or as on the hub (`id`, dicts of lists)."""
    paragraphs = supported(row)
    return Question(
        id=need_text(row, "_id", "id"),
        text=need_text(row, "question"),
        answers=(need_text(row, "answer"),),
        kind=need_text(row, "type"),
        paragraphs=paragraphs,
        tags={"level": str(row.get("level", ""))},
    )
