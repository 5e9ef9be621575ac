"""2WikiMultihopQA (arXiv:2011.01060): questions composed from Wikidata, ten paragraphs each.

Reads ``DATA_DIR/multihop/2wikimqa.jsonl`` (or ``.json``, as released); beside it ``id_aliases.json``, the
release's other spellings of the answers (aliases and demonyms), if it is there. The hub has community copies
only, so nothing is downloaded. The bucket is the type. Redistributed files hold rows without their paragraphs:
they are left out and reported. Apache-2.0. Exercised by ``python run_compare.py --benchmark 2wikimqa --data-dir DIR``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.base import CountTokens, TaskSet, digest
from benchmarks.paragraphs import (
    AnswerMetric,
    Evidence,
    Question,
    local_source,
    need_text,
    paragraph_sets,
    supported,
)
from benchmarks.sources import DataError, local_file, read_rows, texts

RELEASE = "https://github.com/Alab-NII/2wikimultihop"


def wikimqa(
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
    source = local_source(data_dir, "2wikimqa")
    if source is None:
        raise DataError(
            f"2wikimqa is on no hub: put dev.json of {RELEASE} as multihop/2wikimqa.json into a folder and name "
            "the folder with --data-dir"
        )
    bad: list[str] = []
    aliases, revision = _aliases(source.path.parent / "id_aliases.json", bad)
    return paragraph_sets(
        count_tokens,
        "2wikimqa",
        replace(source, revision=source.revision + revision),
        partial(parse, aliases=aliases),
        bad,
        seed=seed,
        lengths=lengths,
        samples=samples,
        evidence=evidence,
        metric=metric,
    )


def parse(row: dict[str, Any], aliases: Mapping[str, tuple[str, ...]]) -> Question:
    """One row, as released; every alias and demonym of its `answer_id` is an answer."""
    paragraphs = supported(row)
    answer = need_text(row, "answer")
    others = aliases.get(str(row.get("answer_id")), ())
    return Question(
        id=need_text(row, "_id", "id"),
        text=need_text(row, "question"),
        answers=tuple(dict.fromkeys((answer, *others))),
        kind=need_text(row, "type"),
        paragraphs=paragraphs,
    )


def _aliases(path: Path, bad: list[str]) -> tuple[dict[str, tuple[str, ...]], str]:
    """The other spellings by answer id, and what they add to the revision of the data."""
    if not path.is_file():
        return {}, ""
    source = local_file(path)
    found: dict[str, tuple[str, ...]] = {}
    for place, row in read_rows(source, bad):
        aliases, demonyms = texts(row.get("aliases")), texts(row.get("demonyms", []))
        if aliases is None or demonyms is None or not isinstance(row.get("Q_id"), str):
            bad.append(f"{place}: has no Q_id with lists of aliases and demonyms")
        else:
            found[row["Q_id"]] = aliases + demonyms
    return found, f"+aliases-{digest(source.revision)}"
