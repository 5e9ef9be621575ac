"""The little markup of titles, notes and captions: code spans and bold words, taken apart for every format.

Whatever is not ours to write (labels, bucket names, error texts) reaches a note as a code span
(`reports.tables.code`), in which no backtick is left; so two marks are all the grammar there is.
Exercised by ``python -m reports RUN_DIR``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

Kind = Literal["text", "code", "strong"]
_SPANS = re.compile(r"`([^`]*)`|\*\*([^*`]+)\*\*")


def pieces(text: str) -> Iterator[tuple[Kind, str]]:
    """The text as runs of one kind, in order: plain words, `code`, **strong**."""
    end = 0
    for found in _SPANS.finditer(text):
        if found.start() > end:
            yield "text", text[end : found.start()]
        yield ("strong", found[2]) if found[1] is None else ("code", found[1])
        end = found.end()
    if end < len(text):
        yield "text", text[end:]


def words(text: str) -> str:
    """The text without its marks."""
    return "".join(part for _, part in pieces(text))


def items(note: str) -> list[str] | None:
    """The points of a note that is a list ("- " before every line); None for a paragraph."""
    lines = note.split("\n")
    return [line[2:] for line in lines] if all(line.startswith("- ") for line in lines) else None
