"""Score answers to HotpotQA as its own ``hotpot_evaluate_v1.py`` does: answers, support, and both jointly.

Predictions are in the official form: ``{"answer": {id: text}, "sp": {id: [[title, sentence], ...]}}``;
without "sp" there are the answers' scores alone. Exercised by
``python -m benchmarks.hotpotqa score --gold FILE --predictions FILE``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.qa_metrics import exact_match, hotpotqa_overlap
from benchmarks.sources import DataError, Source, read_rows, reading


class Scores(NamedTuple):
    """Exact match, F1, precision and recall of one question, each 0 to 1."""

    em: float
    f1: float
    prec: float
    recall: float


def score_files(gold: Path, predictions: Path) -> tuple[dict[str, float | int], list[str]]:
    """The means over all gold rows under the official names (0 to 1, not rounded) and "n", and a line for
    everything that was wrong. What is missing counts 0 and is noted, as officially; gold rows that cannot be
    read are no part of the mean. ValueError for files that hold no gold row, or no predictions."""
    notes: list[str] = []
    said = _predictions(predictions)
    with_support = "sp" in said
    totals: dict[str, float] = {}
    rows = 0
    for place, row in _gold_rows(gold, notes):
        name, answer, facts = row.get("_id", row.get("id")), row.get("answer"), _facts(row)
        if not isinstance(name, str) or not isinstance(answer, str) or (with_support and facts is None):
            notes.append(f"{place}: expected _id, answer and supporting_facts; row left out")
            continue
        rows += 1
        answered = _answer_scores(said["answer"].get(name), answer)
        if answered is None:
            notes.append(f"{place}: no answer to {name} in {predictions}, scored 0")
        parts = {"": answered}
        if with_support:
            parts["sp_"] = supported = _support_scores(said["sp"].get(name), facts or set())
            if supported is None:
                notes.append(f"{place}: no supporting facts for {name} in {predictions}, scored 0")
            parts["joint_"] = _joint(answered, supported) if answered and supported else None
        for prefix, scores in parts.items():
            for field, value in zip(Scores._fields, scores or (0.0,) * 4, strict=True):
                totals[prefix + field] = totals.get(prefix + field, 0.0) + value
    if not rows:
        raise ValueError(f"{gold} holds no question with an answer: expected HotpotQA's rows, as JSON")
    return {name: total / rows for name, total in totals.items()} | {"n": rows}, notes


def _answer_scores(prediction: object, answer: str) -> Scores | None:
    if not isinstance(prediction, str):
        return None
    return Scores(exact_match(prediction, answer), *hotpotqa_overlap(prediction, answer))


def _support_scores(prediction: object, gold: set[tuple[Any, ...]]) -> Scores | None:
    """Of sets of (title, sentence number); the case of titles counts. None for anything but lists of lists."""
    try:
        said = {tuple(fact) for fact in prediction}  # type: ignore[attr-defined]
    except TypeError:
        return None
    found = len(said & gold)
    prec = found / len(said) if said else 0.0
    recall = found / len(gold) if gold else 0.0
    return Scores(float(said == gold), _f1(prec, recall), prec, recall)


def _joint(answer: Scores, support: Scores) -> Scores:
    """Precision and recall are products, F1 is made of these; both must match exactly."""
    prec, recall = answer.prec * support.prec, answer.recall * support.recall
    return Scores(answer.em * support.em, _f1(prec, recall), prec, recall)


def _f1(prec: float, recall: float) -> float:
    return 2 * prec * recall / (prec + recall) if prec + recall > 0 else 0.0


def _gold_rows(path: Path, notes: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a JSON array, as released, or of one object a line."""
    if _text(path).lstrip()[:1] != "[":
        bad: list[str] = []
        yield from read_rows(Source(path, ""), bad)
        notes += [f"{line}; row left out" for line in bad]
        return
    for number, row in enumerate(_json(path), start=1):
        if isinstance(row, dict):
            yield f"{path} row {number}", row
        else:
            notes.append(f"{path} row {number}: not an object; row left out")


def _facts(row: Mapping[str, Any]) -> set[tuple[Any, ...]] | None:
    """Supporting facts as released (pairs) or as on the hub (two parallel lists)."""
    facts = row.get("supporting_facts")
    try:
        if isinstance(facts, dict):
            return set(zip(facts["title"], facts["sent_id"], strict=True))
        return {tuple(fact) for fact in facts}  # type: ignore[union-attr]
    except (TypeError, KeyError, ValueError):
        return None


def _predictions(path: Path) -> dict[str, Any]:
    said = _json(path)
    parts = (said.get("answer"), said.get("sp", {})) if isinstance(said, dict) else (None,)
    if not all(isinstance(part, dict) for part in parts):
        raise DataError(
            f'{path} holds no predictions: expected {{"answer": {{id: text}}, "sp": {{id: facts}}}}'
        )
    return said


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except json.JSONDecodeError as problem:
        raise DataError(f"{path}:{problem.lineno}: not whole JSON ({problem.msg})") from problem


def _text(path: Path) -> str:
    try:
        with reading(path):
            return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise DataError(f"{path}: byte {problem.start} is not UTF-8: save the file as UTF-8") from problem
