"""LongBench v2's wordings (Bai et al. 2025, arXiv:2412.15204): multiple choice over a long document.

The texts are the repository's own ``prompts/*.txt`` (MIT, see longbench/LICENSE-LongBench), kept in
``longbench/prompts_v2.json``. The two-turn ``0shot_cot`` and ``0shot_cot_ans`` are data only: a task is one turn.
Exercised by ``python -m pytest tests/benchmarks/test_longbench_templates.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from benchmarks.base import Task

TEMPLATES: Mapping[str, str] = json.loads(
    (Path(__file__).with_name("longbench") / "prompts_v2.json").read_text(encoding="utf-8")
)
"""By file name, with the marks $DOC$, $Q$, $C_A$ ... $C_D$, and $COT$ for a reasoning turn's text."""
MAX_NEW_TOKENS = 128


def task(variant: Literal["0shot", "0shot_rag"] = "0shot") -> Task:
    """The one-turn wording: the whole document, or retrieved chunks in the order of the document.

    The examples' slots are choice_A to choice_D, as the fields of the data are called."""
    before, _, after = TEMPLATES[variant].partition("$DOC$")
    after = after.replace("$Q$", "{question}")
    for letter in "ABCD":
        after = after.replace(f"$C_{letter}$", f"{{choice_{letter}}}")
    return Task(
        name="longbench_v2",
        before=before,
        after=after,
        metric="longbench_v2",
        max_new_tokens=MAX_NEW_TOKENS,
        stop=(),
    )
