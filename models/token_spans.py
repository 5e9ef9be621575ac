"""The spans of a long text's tokens, found piece by piece and handed on as they are found; and those of a tokenizer
that tells none.

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
TOGETHER = 32  # tokens that may spell a few characters in bytes before the search for their place is given up
NO_CHARACTER = "\N{REPLACEMENT CHARACTER}"


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


def spans_of_ids(
    text: str, ids_of: Callable[[str], list[int]], text_of: Callable[[int], str]
) -> list[Span] | None:
    """The spans of the tokens of `text` by their ids alone, for tokenizers written in Python; None where the tokens
    do not spell the text.

    A token stands where the one before it ended if its own text does. One that spells a part of a character has no
    text: it waits for those after it until, all together, they are the ids of the next few characters, and has the
    span of these, as a compiled byte-level tokenizer says it."""
    spans: list[Span] = []
    waiting: list[int] = []
    place = reach = 0
    for token in ids_of(text):
        own = text_of(token)
        waiting.append(token)
        reach += max(1, len(own))  # some show nothing of a part, and not NO_CHARACTER
        end: int | None = place + len(own)
        if len(waiting) > 1 or NO_CHARACTER in own or not text.startswith(own, place) or not own:
            ends = range(place + 1, min(place + reach, len(text)) + 1)
            end = next((end for end in ends if ids_of(text[place:end]) == waiting), None)
        if end is not None:
            spans += [(place, end)] * len(waiting)
            waiting, place, reach = [], end, 0
        elif len(waiting) == TOGETHER:
            return None
    return None if waiting or text[place:].strip() else spans
