"""One question and what every method made of it: what the page and the terminal show behind a number.

A run folder keeps no contexts, only 300 characters on either side of each evidence span; what a method picked
is told by its place in the context and by whether the evidence lies in it.
Exercised by ``python -m reports show RUN_DIR --example ID``.
"""

from __future__ import annotations

import difflib
import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from comparison.records import Record, printable
from reports.collect import ExampleInfo, ReportError, Run, Span
from reports.selection import coverage
from reports.tables import number

AROUND = 300
"""Characters that a run folder keeps on either side of an evidence span."""
WIDTH = 100


@dataclass(frozen=True)
class Said:
    """One method's answer: score 0 to 1 (None where it counts in no mean), `picked` in words ("" for a method that
    picks nothing), what went wrong, and the method's own details."""

    method: str
    score: float | None
    text: str
    picked: str
    error: str
    details: str


@dataclass(frozen=True)
class Shown:
    """One example with its evidence as (text before, evidence, text after), and the answers in the order of
    the run's methods."""

    task: str
    example: str
    bucket: str
    question: str
    answers: tuple[str, ...]
    evidence: tuple[tuple[str, str, str], ...]
    said: tuple[Said, ...]

    @property
    def spread(self) -> float:
        """How far apart the best and the worst answer are."""
        scores = [one.score for one in self.said if one.score is not None]
        return max(scores) - min(scores) if scores else 0.0


def examples(run: Run, task: str) -> Iterator[Shown]:
    """Every example of a task that some method has answered, in the order of the ids."""
    found: dict[str, list[Record]] = {}
    for method in run.methods:
        for name, record in run.answers(method.label, task).items():
            found.setdefault(name, []).append(record)
    for name, records in sorted(found.items()):
        asked = run.examples.get(task, {}).get(name)
        gold = asked.evidence if asked else ()
        yield Shown(
            task=task,
            example=name,
            bucket=records[0].bucket,
            question=asked.question if asked else "",
            answers=records[0].answers,
            evidence=tuple(_evidence(asked)) if asked else (),
            said=tuple(_said(run, record, gold) for record in records),
        )


def find_examples(run: Run, example: str) -> list[Shown]:
    """The examples of an id, one a task that has it. Raises `ReportError` with the nearest ids."""
    found = [one for task in run.tasks for one in examples(run, task.name) if one.example == example]
    if not found:
        known = {name for rows in run.records.values() for name in rows}
        near = difflib.get_close_matches(example, sorted(known), n=3)
        hint = f"did you mean {', '.join(near)}?" if near else f"an id looks like {min(known)}"
        raise ReportError(f"{run.folder} has no answer to an example {example!r}: {hint}")
    return found


def example_text(run: Run, shown: Shown) -> str:
    """One example for the terminal."""
    blocks = [f"{shown.task} · {shown.example} · bucket {shown.bucket}", _block("question", shown.question)]
    blocks.append(_block("answer", " | ".join(shown.answers)))
    blocks += [_block("evidence", f"…{before}>>>{gold}<<<{after}…") for before, gold, after in shown.evidence]
    lines = [line for said in shown.said for line in _said_lines(run, said)]
    return printable("\n".join([*blocks, *lines]))


def _said_lines(run: Run, said: Said) -> list[str]:
    mark = " (baseline)" if said.method == run.baseline else ""
    score = "no score" if said.score is None else f"{number(100 * said.score, 1)} points"
    lines = [f"\n{said.method}{mark}: {score}"]
    lines += [_block("said", said.text or "(nothing)")] if not said.error else [_block("error", said.error)]
    lines += [_block("picked", said.picked)] if said.picked else []
    return lines + ([_block("details", said.details)] if said.details else [])


def _said(run: Run, record: Record, gold: Sequence[Span]) -> Said:
    return Said(
        method=record.method,
        score=record.score if run.scores(record) else None,
        text=record.prediction,
        picked="" if record.spans is None else picked_text(record.spans, gold),
        error=record.error or "",
        details=json.dumps(dict(record.details), ensure_ascii=False) if record.details else "",
    )


def picked_text(spans: Sequence[Span], gold: Sequence[Span]) -> str:
    """Where a method read, and whether the evidence is there."""
    where = ", ".join(f"{start:,}–{end:,}" for start, end in spans)
    if not spans:
        return "nothing"
    if not gold:
        return f"characters {where}"
    whole, cut = coverage(gold, spans)
    part = {0.0: "misses the evidence", 1.0: "holds the evidence"}.get(
        whole, f"holds {whole:.0%} of the evidence"
    )
    return f"characters {where}: {part}{', a border cuts it' if cut else ''}"


def _evidence(asked: ExampleInfo) -> Iterator[tuple[str, str, str]]:
    for (start, end), text in zip(asked.evidence, asked.around, strict=False):
        before = min(start, AROUND)
        yield text[:before], text[before : before + end - start], text[before + end - start :]


def _block(name: str, text: str) -> str:
    first, rest = f"  {name:9} ", " " * 12
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=rest) or first
