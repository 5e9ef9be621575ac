"""MuSiQue-Ans (arXiv:2108.00573): two to four hops over twenty paragraphs.

Reads ``DATA_DIR/multihop/musique.jsonl``, else the development file of the hub's ``dgslibisey/MuSiQue``. The
bucket is the number of hops. Rows marked unanswerable (MuSiQue-Full) are left out and reported, as the
official scores leave them out. Support is known by paragraph only. CC BY 4.0. Exercised by
``python run_compare.py --benchmark "musique:lengths=8k;16k,samples=100" --data-dir DIR``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from benchmarks.base import CountTokens, TaskSet
from benchmarks.paragraphs import (
    AnswerMetric,
    Paragraph,
    Question,
    RowError,
    local_source,
    need_text,
    paragraph_sets,
    places,
)
from benchmarks.sources import hub_file, texts

HUB = ("dgslibisey/MuSiQue", "musique_ans_v1.0_dev.jsonl", "main")


def musique(
    count_tokens: CountTokens,
    *,
    seed: int = 0,
    data_dir: Path | None = None,
    lengths: tuple[int, ...] = (),
    samples: int | None = None,
    metric: AnswerMetric = "f1",
) -> list[TaskSet]:
    """Every question of the file, or `samples` of them evenly over the hops; with `lengths` (tokens of the
    whole prompt) their long versions. Exact match (``metric=em``) is a task of its own."""
    source = local_source(data_dir, "musique") or hub_file(*HUB, looked=places(data_dir, "musique"))
    return paragraph_sets(
        count_tokens,
        "musique",
        source,
        parse,
        [],
        seed=seed,
        lengths=lengths,
        samples=samples,
        evidence="paragraphs",
        metric=metric,
    )


def parse(row: dict[str, Any]) -> Question:
    """One row, as released. The id begins with the hops: 2hop, 3hop1 (a chain), 3hop2 (a tree) ..."""
    if row.get("answerable") is False:
        raise RowError("is marked unanswerable")
    listed = row.get("paragraphs")
    paragraphs = tuple(map(_paragraph, listed)) if isinstance(listed, list) else ()
    if not paragraphs:
        raise RowError("has no paragraphs")
    aliases = texts(row.get("answer_aliases", []))
    if aliases is None:
        raise RowError("has answer_aliases that are no list of texts")
    name = need_text(row, "id")
    hops = re.match(r"(\d+)hop\d?", name)
    if not hops:
        raise RowError(f"has the id {name!r}, which does not begin with its hops")
    return Question(
        id=name,
        text=need_text(row, "question"),
        answers=tuple(dict.fromkeys((need_text(row, "answer"), *aliases))),
        kind=f"{hops[1]}hop",
        paragraphs=paragraphs,
        tags={"hops": int(hops[1]), "graph": hops[0]},
    )


def _paragraph(row: object) -> Paragraph:
    if not isinstance(row, dict):
        raise RowError("has paragraphs that are no objects")
    gold = row.get("is_supporting") is True
    return Paragraph(need_text(row, "title"), need_text(row, "paragraph_text"), gold)
