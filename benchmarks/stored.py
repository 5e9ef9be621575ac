"""Examples that stay on disk: a file is scanned once and its rows are read again when they are asked for.

For sets of hundreds of megabytes (LongBench v2 is one JSON array of 465 MB, InfiniteBench's books 863 MB a
file): of every row only its place in the file, its id, bucket and answers are kept in memory.
Exercised by ``python -m pytest tests/benchmarks/test_stored.py``.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.base import Example, Outline
from benchmarks.lazy import LazyExamples
from benchmarks.sources import DataError, Source, distinct, parse_row, reading

# A whole JSON string, or a bracket outside of one, or a quote that opens a string without an end. Possessive,
# so that a string of a million escapes takes no memory.
TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]|"', re.DOTALL)


class Stretch(NamedTuple):
    """One row of a file: what messages call it, and its bytes."""

    place: str
    start: int
    end: int


MakeExample = Callable[[dict[str, Any]], Example | str]
"""A row to an example, or the reason why it is none."""


class StoredExamples(LazyExamples):
    """The rows of `source` that are examples. Rows that are none are added to `bad`, with their places;
    `DataError` for a file without rows.

    An id that comes again has a number behind it (`sources.distinct`).
    """

    def __init__(self, source: Source, make: MakeExample, bad: list[str], *, array: bool = False) -> None:
        self.path, self.make = source.path, make
        self.outlines: list[Outline] = []
        self._stretches: list[Stretch] = []
        for stretch in (array_items if array else lines)(source.path):
            example = self._read(stretch)
            if isinstance(example, str):
                bad.append(f"{stretch.place}: {example}")
                continue
            self.outlines.append(Outline(example.id, example.bucket, example.answers, example.cluster))
            self._stretches.append(stretch)
        if not self.outlines and not bad:
            raise DataError(f"{source.path} holds no rows: fetch the file again")
        names = distinct(outline.id for outline in self.outlines)
        self.outlines = [one._replace(id=name) for one, name in zip(self.outlines, names, strict=True)]

    def __len__(self) -> int:
        return len(self.outlines)

    def at(self, place: int) -> Example:
        example = self._read(self._stretches[place])
        if isinstance(example, str):
            raise DataError(f"{self._stretches[place].place} was changed while it was in use: start again")
        return replace(example, id=self.outlines[place].id)

    def _read(self, stretch: Stretch) -> Example | str:
        with reading(self.path), self.path.open("rb") as file:
            file.seek(stretch.start)
            row = parse_row(file.read(stretch.end - stretch.start))
        return "not a whole JSON object" if row is None else self.make(row)


def lines(path: Path) -> Iterator[Stretch]:
    """The lines of a file that hold anything, counted from 1."""
    start = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield Stretch(f"{path}:{number}", start, start + len(line))
            start += len(line)


def array_items(path: Path) -> Iterator[Stretch]:
    """The objects of one JSON array, found without parsing them. `DataError` where it is no array; a file
    that ends early gives a last stretch that is not whole."""
    none = DataError(f"{path} is no JSON array of objects: fetch the file again")
    if not path.stat().st_size:
        raise none
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        depth, start, number = 0, 0, 0
        for token in TOKEN.finditer(content):
            mark = content[token.start() : token.start() + 1]
            if depth == 0 and mark != b"[":
                raise none
            if mark in (b"{", b"["):
                if depth == 1:
                    start, number = token.start(), number + 1
                depth += 1
            elif mark in (b"}", b"]"):
                depth -= 1
                if depth == 1:
                    yield Stretch(f"{path}: row {number}", start, token.end())
                elif depth == 0:
                    return
            elif token.end() - token.start() == 1:
                break
        if depth == 0:
            raise none
        if depth == 1:
            start = len(content)
        yield Stretch(f"{path}: the file ends early, after row {number - (depth > 1)}", start, len(content))
