"""LongBench v2's wordings (Bai et al. 2025, arXiv:2412.15204): multiple choice over a long document.

The texts are the repository's own ``prompts/*.txt`` (MIT, see longbench/LICENSE-LongBench), kept in
``longbench/prompts_v2.json``. A chain of thought takes two turns: the first reasons over the document, the second
concludes from the reasoning alone. The wordings for retrieved chunks and for no context are data only: every
method of this suite reads in the wording of the whole document.
Exercised by ``python -m pytest tests/benchmarks/test_longbench_templates.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from benchmarks.base import Task

TEMPLATES: Mapping[str, str] = json.loads(
    (Path(__file__).with_name("longbench") / "prompts_v2.json").read_text(encoding="utf-8")
)
"""By file name, with the marks $DOC$, $Q$, $C_A$ ... $C_D$, and $COT$ for a reasoning turn's text."""
NEW_TOKENS, REASONING_TOKENS = 128, 1024


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
    for letter in "ABCD":
        template = template.replace(f"$C_{letter}$", f"{{choice_{letter}}}")
    return template.replace("$Q$", "{question}")
