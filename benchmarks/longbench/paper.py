"""The profile `paper`: LongBench in the wording and with the limits of OPRM's released evaluation
(Ben-Kish et al. 2025, arXiv:2505.07793), for OPRM's own tables only; never beside official numbers.

Made from the official templates by what differs: a blank behind the cue of the questions and summaries, the
clause in the instruction, shorter answers, the chat turn on every task, and for two readers an instruction to
give nothing else. English tasks only. Exercised by
``python -m pytest tests/benchmarks/test_longbench_templates.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from benchmarks.base import Task
from benchmarks.longbench import templates
from benchmarks.matching import CodeSimilarity

NEW_TOKENS: Mapping[str, int] = {
    "gov_report": 500,
    "qmsum": 250,
    "multi_news": 250,
    "samsum": 250,
    "lcc": 40,
    "repobench-p": 40,
}
OTHER_NEW_TOKENS = 20
MULTI_HOP = ("hotpotqa", "2wikimqa", "musique")
BARE_CUES = ("qasper", "passage_count", "passage_retrieval_en")
"""Their cue is the official one, to the blank."""
ONLY = " Only give me the answer and do not output any other words"
NEXT_LINE = "Next line of code:"


def task(name: str, *, reader: str = "", code_similarity: CodeSimilarity = "difflib") -> Task:
    """The task as OPRM words it for `reader`, the reader's name or hub id (it matters for Falcon3-Mamba's
    code and RecurrentGemma's summaries). ValueError for a task that OPRM does not run."""
    official = templates.task(name, code_similarity=code_similarity)
    there = templates.row(name)
    if there.language != "en":
        raise ValueError(f"OPRM's paper has no wording for {name}: use profile=fair, or an English task")
    before, after = official.before, official.after
    if there.clause == templates.NO_PASSAGE:
        after = after.replace("{clause}", "").replace("\n\nQuestion:", "{clause}\n\nQuestion:")
    after = after.replace("asconcisely", "as concisely")  # narrativeqa
    if name in MULTI_HOP:
        before += " "
    if after.endswith(":") and name not in BARE_CUES:
        after += " "
    if there.category == "summarisation" and "recurrentgemma" in _plain(reader):
        cue = "\n\nQuery:" if name == "qmsum" else "\n\nSummary:"
        after = after.replace(cue, f"{ONLY}.{cue}")
    if there.category == "code" and "falcon3" in _plain(reader):
        after = after.replace(NEXT_LINE, f"Now complete the next line of code.{ONLY}:")
    return replace(
        official,
        before=before,
        after=after,
        max_new_tokens=NEW_TOKENS.get(name, OTHER_NEW_TOKENS),
        stop=(),
        chat=True,
    )


def _plain(reader: str) -> str:
    return reader.casefold().replace("-", "").replace("_", "")
