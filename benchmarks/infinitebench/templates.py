"""InfiniteBench's tasks (Zhang et al. 2024, arXiv:2402.13718): wordings, limits and what fills them.

Of the published families of prompts this is the one of YaRN-Mistral, used for open models: every prompt ends
in a cue to go on from. The texts are the repository's own (MIT, see LICENSE-InfiniteBench), in
``prompts.json``. Exercised by ``python -m pytest tests/benchmarks/test_infinitebench_score.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.base import Task, look_up

TEMPLATES: Mapping[str, str] = json.loads(
    Path(__file__).with_name("prompts.json").read_text(encoding="utf-8")
)
"""The text of every task, with its marks in braces."""
OPTION_TASKS = ("longbook_choice_eng", "code_debug")
LETTERS = "ABCD"
CALL = re.compile(r"(func_[0-9]+)\(-?[0-9]+\)")
NUMBER_ASKED = re.compile(r"(The .+) of")


class TaskRow(NamedTuple):
    """How one task is run. `retrievable` says that the row has a question by which retrieval is well posed."""

    max_new_tokens: int
    retrievable: bool
    language: str = "en"


TASKS: Mapping[str, TaskRow] = {
    "passkey": TaskRow(6, True),
    "number_string": TaskRow(12, True),
    "kv_retrieval": TaskRow(50, True),
    "longbook_sum_eng": TaskRow(1200, False),
    "longbook_choice_eng": TaskRow(40, True),
    "longbook_qa_eng": TaskRow(40, True),
    "longbook_qa_chn": TaskRow(40, True, "zh"),
    "longdialogue_qa_eng": TaskRow(40, False),
    "math_find": TaskRow(3, False),
    "math_calc": TaskRow(30000, False),
    "code_run": TaskRow(5, True),
    "code_debug": TaskRow(5, False),
}


def row(name: str) -> TaskRow:
    """A task's rules. An unknown name is a ValueError with the nearest match."""
    return look_up("InfiniteBench task", name, TASKS)


def task(name: str) -> Task:
    """The task in YaRN-Mistral's wording; its examples need the slots of `slots`. An unknown name is a
    ValueError. The prompts end in a cue, so they are not wrapped in a chat turn."""
    there = row(name)
    before, _, after = TEMPLATES[name].partition("{context}")
    return Task(
        name=name,
        before=before,
        after=after.replace("{input}", "{question}"),
        metric=f"infinitebench_{name}",
        max_new_tokens=there.max_new_tokens,
        stop=(),
        chat=False,
        retrievable=there.retrievable,
    )


def slots(name: str, row: Mapping[str, Any]) -> dict[str, str]:
    """What a row puts into its task's wording besides context and question.

    ValueError for a row that lacks it: four options, the call of code_run, the number that math_find asks for.
    """
    if name in OPTION_TASKS:
        options = row.get("options")
        if not isinstance(options, list) or len(options) != len(LETTERS):
            raise ValueError(f"{name} needs four options")
        return {f"OPTION_{letter}": str(text) for letter, text in zip(LETTERS, options, strict=True)}
    asked = str(row.get("input", ""))
    if name == "code_run":
        call = CALL.search(asked)
        if call is None:
            raise ValueError(f"code_run's input calls no function: expected func_N(M), found {asked[:40]!r}")
        return {"func": call[1], "func_call": call[0]}
    if name == "math_find":
        number = NUMBER_ASKED.search(asked)
        if number is None:
            raise ValueError(f"math_find's input names no number: expected The ... of in {asked[:40]!r}")
        return {"prefix": f"What is {number[1].lower()} in the following list?"}
    return {}


def answers(name: str, answer: object, options: object) -> tuple[str, ...]:
    """A row's answers as texts, as `benchmarks.infinite_metrics` takes them: for a choice the option's text and its
    letter. The data or a file of predictions hold them bare or in a list, or in a list of lists. ValueError for an
    answer that is none of the options, or for none at all."""
    while isinstance(answer, list) and len(answer) == 1 and isinstance(answer[0], list):
        answer = answer[0]
    values = answer if isinstance(answer, list) else [answer]
    if not values or not all(isinstance(one, str | int | float) for one in values):
        raise ValueError(
            f"the answer is {json.dumps(answer)[:40]}, expected text, a number or a list of them"
        )
    texts = tuple(str(one) for one in values)
    if name not in OPTION_TASKS or len(texts) == 2:
        return texts
    if not isinstance(options, list) or texts[0] not in options:
        raise ValueError(f"the answer {texts[0][:40]!r} is none of the options")
    return texts[0], LETTERS[options.index(texts[0])]
