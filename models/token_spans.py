"""The spans of a long text's tokens, found piece by piece and handed on as they are found.

A tokenizer holds some 500 bytes for every token of the text it is at, which for a whole book is more than a
small reader needs to read it; piece by piece that stays flat in the text's length. Torch-free. Exercised by
``pytest tests/models/test_token_spans.py``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from operator import itemgetter

Span = tuple[int, int]
PIECE = 8_000
MARGIN = 200


def token_spans(spans_of: Callable[[str], list[Span]], text: str) -> Iterator[Span]:
    """The characters (start, end) of every token of `text` in order, as `spans_of(text)` gives them.

    Pieces of `PIECE` characters are read with `MARGIN` more on either side. Where two of them meet they must
    agree token by token; if they do not (a tokenizer that looks further), all that follows the last place
    where they did is read in one go."""
    held = Piece(spans_of, text, 0, PIECE)
    for start in range(PIECE, len(text), PIECE):
        piece = Piece(spans_of, text, start, start + PIECE)
        if held.around(start) != piece.around(start):
            held = Piece(spans_of, text, held.start, len(text))
            break
        yield from held.own()
        held = piece
    yield from held.own()


class Piece:
    """The spans of `text[start:end]` and of a margin on either side."""

    def __init__(self, spans_of: Callable[[str], list[Span]], text: str, start: int, end: int) -> None:
        self.start, self.end = start, end
        self.offset = max(0, start - MARGIN)
        self.spans = spans_of(text[self.offset : end + MARGIN])

    def around(self, place: int) -> list[Span]:
        """The spans that begin within half a margin of a place, and the one before them."""
        first = bisect_left(self.spans, place - MARGIN // 2 - self.offset, key=itemgetter(0))
        before = self.spans[max(first - 1, 0) : first]
        near = list(self._between(place - MARGIN // 2, place + MARGIN // 2))
        return [(a + self.offset, b + self.offset) for a, b in before] + near

    def own(self) -> Iterator[Span]:
        """The spans that begin in the piece itself."""
        return self._between(self.start, self.end)

    def _between(self, start: int, end: int) -> Iterator[Span]:
        """The spans of the text that begin from `start` to before `end`."""
        offset = self.offset
        first, last = (bisect_left(self.spans, at - offset, key=itemgetter(0)) for at in (start, end))
        return ((a + offset, b + offset) for a, b in self.spans[first:last])
