"""Cutting a context into chunks: the one chunker of every method that reads in pieces.

The cuts fall between the reader's tokens (OPRM, arXiv 2505.07793, cuts token ids), but a chunk is stored as a
span of characters: evidence can be looked up in it, and every method and ranker sees the same text, without half
a character. A border may fall inside a word that the tokenizer spells in several tokens; ``boundary=sentence``
avoids it wherever a sentence fits a chunk, and with an ``overlap`` of as many tokens one of two neighbours has
the whole word. Torch-free.
Exercised by ``pytest tests/retrievers/test_chunking.py``.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Literal, overload

from retrievers.base import check_choice

Boundary = Literal["token", "sentence"]
Span = tuple[int, int]
Cut = tuple[int, int]
"""A place where a text may be cut: how many tokens and how many characters are before it."""

# A sentence ends at its closing marks (with white space after them, where the script has any) or at a blank
# line; not at every line break, which falls anywhere in wrapped text. A run of marks or of line breaks is looked
# through once, not again from each of its characters: a table of contents may have thousands in a row.
SENTENCE_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’)\]»]*+(?=\s)|[。！？]+[」』”’）]*|(?=\n[^\S\n]*+\n)")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Characters `start` to `end` of `source`, the whole context, which hold `tokens` of its own tokens.

    The text is cut out when it is asked for: thousands of chunks take no second copy of a book."""

    start: int
    end: int
    source: str = field(repr=False)
    tokens: int

    @property
    def text(self) -> str:
        """The chunk's characters."""
        return self.source[self.start : self.end]


class Chunks(Sequence[Chunk]):
    """Chunks of one text, 24 bytes each: a `Chunk` is made when it is asked for."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._numbers = array("q")  # start, end and tokens of one chunk after the other

    def append(self, start: int, end: int, tokens: int) -> None:
        self._numbers.extend((start, end, tokens))

    def __len__(self) -> int:
        return len(self._numbers) // 3

    @overload
    def __getitem__(self, index: int) -> Chunk: ...

    @overload
    def __getitem__(self, index: slice) -> list[Chunk]: ...

    def __getitem__(self, index: int | slice) -> Chunk | list[Chunk]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        first = 3 * range(len(self))[index]  # an IndexError beyond the last
        start, end, tokens = self._numbers[first : first + 3]
        return Chunk(start, end, self.source, tokens)


def split(
    text: str, offsets: Iterable[Span], size: int, *, overlap: int = 0, boundary: Boundary = "token"
) -> Chunks:
    """Chunks of at most `size` tokens, in order, that cover every character of `text`; none for a text
    without tokens.

    `offsets` are the character spans of the text's tokens; they are taken as they are needed, and a chunk's
    length of them is held. White space between two tokens goes to the later chunk, as it does in the ids of a
    byte-level tokenizer. Consecutive chunks share `overlap` tokens (with whole sentences: at most as many).
    `boundary="sentence"` cuts a sentence only if it is longer than a chunk. No cut falls inside a character:
    one of more than `size` tokens makes a longer chunk. ValueError for sizes that `check_sizes` refuses, or an
    unknown boundary."""
    check_sizes(size, overlap)
    check_choice("boundary", boundary, Boundary)
    ahead = CutsAhead(text, offsets, boundary)
    chunks = Chunks(text)
    first, last = -1, 0
    while ahead.extend(last + size) > last:
        first, last = _next_range(first, last, size, overlap, ahead.cuts, ahead.wanted)
        chunks.append(ahead.place(first), ahead.place(last), last - first)
        ahead.forget(last - overlap)
    return chunks


def check_sizes(size: int, overlap: int) -> None:
    """ValueError for a chunk size below 1 or an overlap outside 0 to size - 1 (both in tokens)."""
    if size < 1:
        raise ValueError(f"chunk size {size} is too small: expected at least 1 token")
    if not 0 <= overlap < size:
        raise ValueError(f"overlap {overlap} does not fit chunks of {size} tokens: expected 0 to {size - 1}")


def cut_places(text: str, offsets: Iterable[Span]) -> Iterator[Cut]:
    """Where `text` may be cut, its two ends included: the tokens and the characters before each cut, rising.

    The place is the end of the token before the cut. Tokens that share a character (a rare one is spelt in
    bytes) are not cut apart, and no two cuts share a place: a text without tokens has one."""
    whole, count, reached, latest = len(text), 0, 0, -1
    for count, (start, end) in enumerate(offsets, 1):
        if latest < reached <= start and reached < whole:
            yield count - 1, reached
            latest = reached
        if end > reached:
            reached = end
    yield count, whole


class CutsAhead:
    """The cuts of a text from the last chunk on, as far as the next one may reach.

    `cuts` are the numbers of tokens before them, `wanted` those at which a chunk ends if it can: those between
    sentences, and none where any cut serves."""

    def __init__(self, text: str, offsets: Iterable[Span], boundary: Boundary) -> None:
        self.text = text
        self.cuts: list[int] = []
        self.wanted: list[int] = []
        self._sentences = boundary == "sentence"
        self._characters: list[int] = []
        self._coming = cut_places(text, offsets)
        self._ends = (match.end() for match in SENTENCE_END.finditer(text))
        self._end = -1

    def place(self, cut: int) -> int:
        """The characters before a cut."""
        return self._characters[bisect_left(self.cuts, cut)]

    def extend(self, token: int) -> int:
        """Takes cuts up to one beyond `token`, if there is one, or further; returns the last."""
        latest = self.cuts[-1] if self.cuts else -1
        coming = list(islice(self._coming, max(token + 1 - latest, 0)))  # each is a token further, or several
        self.cuts += [cut for cut, _ in coming]
        self._characters += [characters for _, characters in coming]
        if self._sentences:
            self.wanted += [cut for cut, characters in coming if self._ends_sentence(characters)]
        return self.cuts[-1]

    def forget(self, token: int) -> None:
        """Drops the cuts before `token`."""
        passed = bisect_left(self.cuts, token)
        del self.cuts[:passed], self._characters[:passed]
        del self.wanted[: bisect_left(self.wanted, token)]

    def _ends_sentence(self, characters: int) -> bool:
        """Whether at most white space lies between a sentence's end and this place, the next one; the two ends
        of the text count."""
        latest = -1
        while self._end <= characters:
            latest, self._end = self._end, next(self._ends, len(self.text) + 1)
        ended = latest >= 0 and not self.text[latest:characters].strip()
        return ended or characters in (0, len(self.text))


def join(context: str, chunks: Sequence[Chunk]) -> tuple[str, tuple[Span, ...]]:
    """The text of the chunks in the order given, and the spans that it is made of.

    Chunks that touch or overlap stand as they do in the context, in the place of the first of them; a blank line
    parts the others."""
    found: list[tuple[int, int, int]] = []  # place, start and end of every span, in document order
    for place, chunk in sorted(enumerate(chunks), key=lambda numbered: numbered[1].start):
        if found and chunk.start <= found[-1][2]:
            first, start, end = found.pop()
            found.append((min(first, place), start, max(end, chunk.end)))
        else:
            found.append((place, chunk.start, chunk.end))
    spans = tuple((start, end) for _, start, end in sorted(found))
    return "\n\n".join(context[start:end] for start, end in spans), spans


def windows(text: str, offsets: Iterable[Span], size: int) -> list[Chunk]:
    """Windows of at most `size` tokens that cover `text`, each beginning half a window after the one before;
    the last ends where the text does and is no shorter than the others. None for a text without tokens.

    For models that read less than a chunk. They are cut at white space where it lies close enough together,
    and between any two tokens where it does not (a script without blanks). ValueError for a size below 2."""
    if size < 2:
        raise ValueError(f"windows of {size} tokens are too small: expected at least 2")
    places = dict(cut_places(text, offsets))
    cuts = [cut for cut, place in places.items() if _between_words(text, place)]
    if any(right - left > size // 2 for left, right in pairwise(cuts)):
        cuts = list(places)
    found: list[Chunk] = []
    first, last, tokens = 0, 0, max(places)
    while last < tokens:
        last = _reach(cuts, first, size)
        if last == tokens:
            first = min(cuts[bisect_left(cuts, max(last - size, 0))], cuts[-2])
        start, end = places[first], places[last]
        if not found or end > found[-1].end:  # half a window on may be inside a character of several tokens
            found.append(Chunk(start, end, text, last - first))
        first = _reach(cuts, first, size // 2)
    return found


def _reach(cuts: Sequence[int], first: int, tokens: int) -> int:
    """The last cut within `tokens` after `first`, or the next one where what lies between is longer."""
    return max(
        cuts[bisect_right(cuts, first + tokens) - 1], cuts[min(bisect_right(cuts, first), len(cuts) - 1)]
    )


def _between_words(text: str, place: int) -> bool:
    return place in (0, len(text)) or text[place].isspace() or text[place - 1].isspace()


def _next_range(
    first: int, last: int, size: int, overlap: int, cuts: Sequence[int], wanted: Sequence[int]
) -> tuple[int, int]:
    """The tokens of the chunk after [first, last): up to a wanted cut if one beyond `last` is in reach, up to
    any cut if not, and over a character longer than a chunk if there is no other way on."""
    earliest = max(last - overlap, first + 1)
    # Wanted starts come first; the others serve where `last` cuts a sentence, and reach less before it.
    starts = [
        *wanted[bisect_left(wanted, earliest) : bisect_right(wanted, last)],
        *cuts[bisect_left(cuts, earliest) : bisect_right(cuts, last)],
    ]
    for ends_at in (wanted or cuts, cuts):
        for start in starts:
            end = _last_within(ends_at, start + size)
            if end > last:
                return start, end
    return last, cuts[bisect_right(cuts, last)]


def _last_within(cuts: Sequence[int], limit: int) -> int:
    """The last cut at or before `limit`; -1 if there is none."""
    position = bisect_right(cuts, limit)
    return cuts[position - 1] if position else -1
