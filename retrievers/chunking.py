"""Cutting a context into chunks: the one chunker of every method that reads in pieces.

The cuts fall between the reader's tokens (OPRM, arXiv 2505.07793, cuts token ids), but a chunk is stored as a
span of characters, so that evidence can be looked up in it and no ranker ever sees half a word. Torch-free.
Exercised by ``pytest tests/retrievers/test_chunking.py``.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, get_args

Boundary = Literal["token", "sentence"]
Span = tuple[int, int]

# A sentence ends at its closing marks (with white space after them, where the script has any) or at a blank
# line; not at every line break, which falls anywhere in wrapped text.
SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]»]*(?=\s)|[。！？]+[」』”’）]*|(?=\n\s*\n)")


@dataclass(frozen=True)
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


class Places(Mapping[int, int]):
    """Where a text may be cut: number of tokens before a cut -> number of characters before it, both rising.

    Four or eight bytes a cut, where a dict takes 100."""

    def __init__(self) -> None:
        self.tokens: range | array[int] = range(1)  # as long as there is a cut after every token
        self.characters = array("i", [0])

    def __getitem__(self, token: int) -> int:
        position = bisect_left(self.tokens, token)
        if position == len(self.tokens) or self.tokens[position] != token:
            raise KeyError(token)
        return self.characters[position]

    def __iter__(self) -> Iterator[int]:
        return iter(self.tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    def add(self, token: int, characters: int) -> None:
        """One more place, behind the others."""
        if isinstance(self.tokens, range):
            dense = token == len(self.tokens)
            self.tokens = range(token + 1) if dense else array("i", [*self.tokens, token])
        else:
            self.tokens.append(token)
        self.characters.append(characters)


def split(
    text: str, offsets: Collection[Span], size: int, *, overlap: int = 0, boundary: Boundary = "token"
) -> list[Chunk]:
    """Chunks of at most `size` tokens, in order, that cover every character of `text`; none for a text
    without tokens.

    `offsets` are the character spans of the text's tokens. White space between two tokens goes to the later
    chunk, as it does in the ids of a byte-level tokenizer. Consecutive chunks share `overlap` tokens (with
    whole sentences: at most as many). `boundary="sentence"` cuts a sentence only if it is longer than a
    chunk. No cut falls inside a character: one of more than `size` tokens makes a longer chunk. ValueError
    for a size below 1, an overlap outside 0 to size - 1, an unknown boundary."""
    if size < 1:
        raise ValueError(f"chunk size {size} is too small: expected at least 1 token")
    if not 0 <= overlap < size:
        raise ValueError(f"overlap {overlap} does not fit chunks of {size} tokens: expected 0 to {size - 1}")
    if boundary not in get_args(Boundary):
        raise ValueError(f"unknown boundary {boundary!r}: expected {' or '.join(get_args(Boundary))}")
    places = cut_places(text, offsets)
    cuts: Sequence[int] = places.tokens
    wanted = cuts if boundary == "token" else _sentence_cuts(text, places)
    chunks: list[Chunk] = []
    first, last = -1, 0
    while last < len(offsets):
        first, last = _next_range(first, last, size, overlap, cuts, wanted)
        start, end = places[first], places[last]
        chunks.append(Chunk(start, end, text, last - first))
    return chunks


def cut_places(text: str, offsets: Collection[Span]) -> Places:
    """Where `text` may be cut, its two ends included.

    The place is the end of the token before the cut. Tokens that share a character (a rare one is spelt in
    bytes) are not cut apart, and no two cuts share a place."""
    places, reached, latest = Places(), 0, 0
    for token, (start, end) in enumerate(offsets):
        if latest < reached <= start and reached < len(text):
            places.add(token, reached)
            latest = reached
        reached = max(reached, end)
    if not offsets:
        places.characters[0] = len(text)  # both ends in one
    else:
        places.add(len(offsets), len(text))
    return places


def join(context: str, chunks: Sequence[Chunk]) -> tuple[str, tuple[Span, ...]]:
    """The text of the chunks in the order given, and the spans that it is made of.

    Chunks that touch or overlap are joined as they stand in the context, others by a blank line."""
    spans: list[Span] = []
    for chunk in chunks:
        if spans and spans[-1][0] <= chunk.start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], chunk.end))
        else:
            spans.append((chunk.start, chunk.end))
    return "\n\n".join(context[start:end] for start, end in spans), tuple(spans)


def windows(text: str, offsets: Collection[Span], size: int) -> list[Chunk]:
    """Windows of at most `size` tokens that cover `text`, each beginning half a window after the one before;
    the last ends where the text does and is no shorter than the others. None for a text without tokens.

    For models that read less than a chunk. They are cut at white space where it lies close enough together,
    and between any two tokens where it does not (a script without blanks). ValueError for a size below 2."""
    if size < 2:
        raise ValueError(f"windows of {size} tokens are too small: expected at least 2")
    places = cut_places(text, offsets)
    cuts = [cut for cut, place in places.items() if _between_words(text, place)]
    if any(right - left > size // 2 for left, right in pairwise(cuts)):
        cuts = list(places)
    found: list[Chunk] = []
    first, last = 0, 0
    while last < len(offsets):
        last = _reach(cuts, first, size)
        if last == len(offsets):
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
    for ends_at in (wanted, cuts):
        for start in starts:
            end = ends_at[bisect_right(ends_at, start + size) - 1]
            if end > last:
                return start, end
    return last, cuts[bisect_right(cuts, last)]


def _sentence_cuts(text: str, places: Places) -> list[int]:
    """The cuts with at most white space between a sentence's end and them, and the two ends of the text."""
    cuts, characters = places.tokens, places.characters
    found = {cuts[0], cuts[-1]}
    for match in SENTENCE_END.finditer(text):
        position = bisect_left(characters, match.end())
        if not text[match.end() : characters[position]].strip():
            found.add(cuts[position])
    return sorted(found)
