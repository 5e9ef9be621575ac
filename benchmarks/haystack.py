"""Haystacks: the user's folder of texts or fixed noise, cut to a number of tokens, with a needle in it.

Shared by ruler, kamradt and passkey; exercised by ``python -m pytest tests/benchmarks/test_haystack.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from benchmarks.base import Span, digest
from benchmarks.sources import DataError

# The five sentences of Mohtashami and Jaggi (arXiv:2305.16300), which RULER repeats too.
NOISE = (
    "The grass is green.",
    "The sky is blue.",
    "The sun is yellow.",
    "Here we go.",
    "There and back again.",
)
SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+")
Item = TypeVar("Item")
Hidden = TypeVar("Hidden", bound="tuple[str, Span] | None")


def read_folder(benchmark: str, folder: Path) -> str:
    """The ``.txt`` files of a folder, one after another, in the order of their names: the original needle
    test takes the file system's order, which differs from machine to machine.

    `DataError` where there is no folder, no such file, or nothing in them."""
    if not folder.is_dir():
        raise DataError(f"{benchmark}: haystack={folder} is no folder: name one with .txt files")
    paths = sorted(folder.glob("*.txt"))
    try:
        text = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{benchmark}: cannot read haystack={folder}: {problem}") from problem
    if not text.strip():
        raise DataError(f"{benchmark}: haystack={folder} has no .txt file with text in it")
    return text


def haystack_revision(text: str) -> str:
    """What a haystack adds to the revision of a task: other texts are other examples."""
    return f"haystack-{digest(text)}"


def split_sentences(text: str) -> list[str]:
    """Sentences with single blanks, cut after closing marks."""
    flat = " ".join(text.split())
    cuts = [0, *(match.end() for match in SENTENCE_END.finditer(flat)), len(flat)]
    pieces = (flat[start:end].strip() for start, end in pairwise(cuts))
    return [piece for piece in pieces if piece]


def repeat(items: Sequence[Item], number: int, start: int = 0) -> list[Item]:
    """`number` items from `start` on, over and over."""
    return [items[place % len(items)] for place in range(start, start + number)]


def most_units(tokens: Callable[[int], int], budget: int) -> int:
    """The largest n whose `tokens(n)` are within the budget; `tokens` grows with n. -1 if not even 0 fits.

    A bracket is found by doubling and narrowed from both ends: by where a straight line between its ends
    would meet the budget, and by halving, in turn."""
    low, high = 0, 1
    least = tokens(low)
    if least > budget:
        return -1
    while (most := tokens(high)) <= budget:
        low, least, high = high, most, 2 * high
    halve = False
    while high - low > 1:
        share = 0.5 if halve else (budget - least) / (most - least)
        middle = min(max(low + round(share * (high - low)), low + 1), high - 1)
        count = tokens(middle)
        if count <= budget:
            low, least = middle, count
        else:
            high, most = middle, count
        halve = not halve
    return low


def fit_needle(
    benchmark: str,
    length: int,
    tokens: Callable[[str], int],
    behind: Callable[[int], str],
    inside: Callable[[int], Hidden],
) -> Hidden:
    """`inside(n)`, a context with the needle in it and the needle's place, of the most units that fit the length.

    How many do is found with the needle `behind` them; among them it may take a token more, and they give way
    then, one by one. None where `inside` finds no place. ValueError where not one unit fits."""
    number = most_units(lambda n: tokens(behind(n)), length)
    if number < 1:
        least = tokens(behind(1))
        raise ValueError(
            f"{benchmark}: lengths={length} is too short: for this reader it takes {least} tokens"
        )
    while (hidden := inside(number)) is not None and number and tokens(hidden[0]) > length:
        number -= 1
    return hidden


def hide(before: str, needle: str, after: str, separator: str) -> tuple[str, Span]:
    """The three texts as one, and the characters at which the needle stands in it."""
    start = len(before) + (len(separator) if before else 0)
    return separator.join(part for part in (before, needle, after) if part), (start, start + len(needle))
