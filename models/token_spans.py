"""The spans of a long text's tokens, found piece by piece.

A tokenizer holds some 500 bytes for every token of the text it is at, which for a whole book is more than a
small reader needs to read it; piece by piece that stays flat in the text's length. What is kept takes eight
bytes a token, where a list of tuples takes 130. Torch-free. Exercised by
``pytest tests/models/test_token_spans.py``.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator

Span = tuple[int, int]
PIECE = 20_000
MARGIN = 400


class Spans(Collection[Span]):
    """The characters (start, end) of a text's tokens, in order, in a compact form."""

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self.starts, self.ends = array("i"), array("i")
        self.extend(spans)

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[Span]:
        return zip(self.starts, self.ends, strict=True)

    def __contains__(self, span: object) -> bool:
        return any(span == one for one in self)

    def extend(self, spans: Iterable[Span]) -> None:
        """Adds spans at the end."""
        for start, end in spans:
            self.starts.append(start)
            self.ends.append(end)

    def around(self, place: int) -> list[Span]:
        """The spans that begin within half a margin of the place."""
        first, last = (bisect_left(self.starts, place + reach) for reach in (-MARGIN // 2, MARGIN // 2))
        return list(zip(self.starts[first:last], self.ends[first:last], strict=True))

    def cut(self, place: int) -> None:
        """Leaves those that begin before the place."""
        kept = bisect_left(self.starts, place)
        del self.starts[kept:], self.ends[kept:]


def token_spans(spans_of: Callable[[str], list[Span]], text: str) -> Spans:
    """The characters (start, end) of every token of `text`, as `spans_of(text)` gives them.

    Pieces of `PIECE` characters are read with `MARGIN` more on either side. Where two of them meet they must
    agree token by token; if they do not (a tokenizer that looks further), the text is read whole."""
    found = Spans()
    for start in range(0, max(1, len(text)), PIECE):
        offset = max(0, start - MARGIN)
        read = spans_of(text[offset : start + PIECE + MARGIN])
        piece = Spans((a + offset, b + offset) for a, b in read)
        if start and found.around(start) != piece.around(start):
            return Spans(spans_of(text))
        found.cut(start)
        found.extend(span for span in piece if span[0] >= start)
    return found
