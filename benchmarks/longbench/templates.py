"""LongBench's tasks (Bai et al. 2024, arXiv:2308.14508): official wordings, limits, metrics and categories.

The wordings are the repository's own file ``dataset2prompt.json`` (MIT, see LICENSE-LongBench), byte for
byte: its quirks (a missing blank in narrativeqa, a trailing one in passage_count) are part of the benchmark.
OPRM's no-answer clause stands behind the question, in its own rows only: without it every prompt is the
official one. Exercised by ``python -m pytest tests/benchmarks/test_longbench_templates.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from benchmarks.base import Gather, Task, look_up
from benchmarks.matching import CODE_SIMILARITIES, CodeSimilarity

TEMPLATES: Mapping[str, str] = json.loads(
    Path(__file__).with_name("dataset2prompt.json").read_text(encoding="utf-8")
)
"""The official text of every task, with its marks {context} and {input}."""

CODE_METRIC = "code_similarity"
NO_ANSWER = "Error"
UNANSWERABLE = "unanswerable"
"""What qasper's own wording and answers say instead of the no-answer word."""
NO_PASSAGE = f' If the answer does not exist in the passages, return "{NO_ANSWER}".'
NO_PARAGRAPH = f' If the abstract is not from any of the paragraphs, write "{NO_ANSWER}".'

Category = Literal["single-doc", "multi-doc", "summarisation", "few-shot", "synthetic", "code"]


class TaskRow(NamedTuple):
    """How one task is run and scored.

    `first_line` cuts predictions to their first line; `chat` wraps the prompt in the reader's chat turn;
    `retrievable` says that the row has a question by which retrieval is well posed; `clause` is OPRM's
    addition for chunks without the answer; `gather` how OPRM makes one answer of many chunks.
    """

    category: Category
    metric: str
    max_new_tokens: int
    language: Literal["en", "zh"] = "en"
    first_line: bool = False
    chat: bool = True
    retrievable: bool = True
    clause: str = ""
    gather: Gather = "best"


TASKS: Mapping[str, TaskRow] = {
    "narrativeqa": TaskRow("single-doc", "qa_f1", 128, clause=NO_PASSAGE),
    "qasper": TaskRow("single-doc", "qa_f1", 128),
    "multifieldqa_en": TaskRow("single-doc", "qa_f1", 64, clause=NO_PASSAGE),
    "multifieldqa_zh": TaskRow("single-doc", "qa_f1_zh", 64, "zh"),
    "hotpotqa": TaskRow("multi-doc", "qa_f1", 32, clause=NO_PASSAGE),
    "2wikimqa": TaskRow("multi-doc", "qa_f1", 32, clause=NO_PASSAGE),
    "musique": TaskRow("multi-doc", "qa_f1", 32, clause=NO_PASSAGE),
    "dureader": TaskRow("multi-doc", "rouge_l_zh", 128, "zh"),
    "gov_report": TaskRow("summarisation", "rouge_l", 512, retrievable=False, gather="each"),
    "qmsum": TaskRow("summarisation", "rouge_l", 512, gather="each"),
    "multi_news": TaskRow("summarisation", "rouge_l", 512, retrievable=False, gather="each"),
    "vcsum": TaskRow("summarisation", "rouge_l_zh", 512, "zh", retrievable=False),
    "trec": TaskRow("few-shot", "classification", 64, first_line=True, chat=False, retrievable=False),
    "triviaqa": TaskRow("few-shot", "qa_f1", 32, first_line=True, chat=False, retrievable=False),
    "samsum": TaskRow("few-shot", "rouge_l", 128, first_line=True, chat=False, retrievable=False),
    "lsht": TaskRow("few-shot", "classification", 64, "zh", first_line=True, chat=False, retrievable=False),
    "passage_count": TaskRow("synthetic", "count", 32, retrievable=False),
    "passage_retrieval_en": TaskRow("synthetic", "retrieval", 32, clause=NO_PARAGRAPH),
    "passage_retrieval_zh": TaskRow("synthetic", "retrieval_zh", 32, "zh"),
    "lcc": TaskRow("code", CODE_METRIC, 64, chat=False, retrievable=False, gather="last"),
    "repobench-p": TaskRow("code", CODE_METRIC, 64, chat=False),
}
E_TASKS = (
    "qasper",
    "multifieldqa_en",
    "hotpotqa",
    "2wikimqa",
    "gov_report",
    "multi_news",
    "trec",
    "triviaqa",
    "samsum",
    "passage_count",
    "passage_retrieval_en",
    "lcc",
    "repobench-p",
)
"""The tasks of LongBench_e; their rules are LongBench's."""
BUCKETS = ("0-4k", "4-8k", "8k+")
"""Classes of the stored length in words: below 4000, below 8000, the rest."""


@dataclass(frozen=True)
class ReplacingTask(Task):
    """A task whose wording has a word for "no answer" already: the clause takes that word's place."""

    def wrap(self, question: str, *, clause: bool = False) -> tuple[str, str]:
        if not clause:
            return super().wrap(question)
        before, after = (
            text.replace(f'"{UNANSWERABLE}"', self.no_answer_clause) for text in (self.before, self.after)
        )
        return replace(self, before=before, after=after).wrap(question)


def row(name: str) -> TaskRow:
    """A task's rules. An unknown name is a ValueError with the nearest match."""
    return look_up("LongBench task", name, TASKS)


def metric(name: str, code_similarity: CodeSimilarity = "difflib") -> str:
    """The name of a task's metric, which for code says by which measure."""
    if code_similarity not in CODE_SIMILARITIES:
        raise ValueError(f"unknown code similarity {code_similarity!r}: use difflib or levenshtein")
    found = row(name).metric
    return f"{CODE_METRIC}_{code_similarity}" if found == CODE_METRIC else found


def bucket(length: int) -> str:
    """The bucket of a stored length."""
    return BUCKETS[0] if length < 4000 else BUCKETS[1] if length < 8000 else BUCKETS[2]


def task(name: str, *, code_similarity: CodeSimilarity = "difflib") -> Task:
    """The task in its official wording and limits; ValueError for an unknown name or similarity."""
    there = row(name)
    before, _, after = TEMPLATES[name].partition("{context}")
    if there.clause == NO_PASSAGE:
        after = after.replace("{input}", "{input}{clause}")
    elif there.clause == NO_PARAGRAPH:
        after = after.replace("etc.\n", "etc.{clause}\n")
    qasper = name == "qasper"
    return (ReplacingTask if qasper else Task)(
        name=name,
        before=before,
        after=after.replace("{input}", "{question}"),
        metric=metric(name, code_similarity),
        max_new_tokens=there.max_new_tokens,
        no_answer_clause=f'"{NO_ANSWER}"' if qasper else there.clause,
        stop=("\n",) if name == "samsum" else (),
        chat=there.chat,
        retrievable=there.retrievable,
        revision="2" if qasper else "1",  # 1 took the no-answer word in quotes for an answer
        gather=there.gather,
        first_line=there.first_line,
        renamed=(NO_ANSWER, UNANSWERABLE) if qasper else None,
    )
