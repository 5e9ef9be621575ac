"""The spans of a long text's tokens, found piece by piece.

A tokenizer holds some 500 bytes for every token of the text it is at, which for a whole book is more than a
small reader needs to read it; piece by piece that stays flat in the text's length. Torch-free. Exercised by
``pytest tests/models/test_token_spans.py``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

Span = tuple[int, int]
PIECE = 20_000
MARGIN = 400


def token_spans(spans_of: Callable[[str], list[Span]], text: str) -> list[Span]:
    """The characters (start, end) of every token of `text`, as `spans_of(text)` gives them.

    Pieces of `PIECE` characters are read with `MARGIN` more on either side. Where two of them meet they must
    agree token by token; if they do not (a tokenizer that looks further), the text is read whole."""
    found: list[Span] = []
    for start in range(0, max(1, len(text)), PIECE):
        offset = max(0, start - MARGIN)
        piece = [(a + offset, b + offset) for a, b in spans_of(text[offset : start + PIECE + MARGIN])]
        if start and _around(found, start) != _around(piece, start):
            return spans_of(text)
        del found[bisect_left(found, (start,)) :]
        found += piece[bisect_left(piece, (start,)) :]
    return found


def _around(spans: list[Span], place: int) -> list[Span]:
    """The spans that begin within half a margin of the place."""
    reach = MARGIN // 2
    return spans[bisect_left(spans, (place - reach,)) : bisect_left(spans, (place + reach,))]
