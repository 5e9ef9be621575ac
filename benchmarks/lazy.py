"""Examples that are there when they are asked for: made (`benchmarks.generated`), read from disk
(`benchmarks.stored`) or chosen from either. Exercised by the tests of those files.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import overload

from benchmarks.base import Example


class LazyExamples(Sequence[Example]):
    """A sequence whose subclass says how many there are and how to come by one."""

    @abstractmethod
    def at(self, place: int) -> Example:
        """The example at a place, counted from the first one."""

    @overload
    def __getitem__(self, place: int) -> Example: ...
    @overload
    def __getitem__(self, place: slice) -> list[Example]: ...
    def __getitem__(self, place: int | slice) -> Example | list[Example]:
        places = range(len(self))[place]  # an IndexError beyond the last
        return self.at(places) if isinstance(places, int) else [self.at(one) for one in places]
