"""What a refusal must be: one line of a ValueError that says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LONGEST = 1200
"""Characters of a message, beside what it quotes: a list of all known names is long."""


def refusal(act: Callable[[], Any], case: object) -> str:
    """The message of a refusal, the empty string where there was none. Fails for anything but one good line."""
    problem: Exception | None = None
    try:
        act()
    except Exception as raised:
        problem = raised
    if problem is None:
        return ""
    said = str(problem)
    if not isinstance(problem, ValueError) or isinstance(problem, UnicodeError):
        raise AssertionError(f"{case!r}: {problem!r}") from problem
    assert said.strip(), f"{case!r}: a {type(problem).__name__} without a message"
    assert len(said.splitlines()) == 1, f"{case!r}: {said!r}"
    assert len(said) <= LONGEST + 2 * len(repr(case)), f"{case!r}: {len(said)} characters"
    return said
