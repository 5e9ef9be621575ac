"""The SPEC grammar of the command line: text to a value and back.

::

    SPEC    = [LABEL "="] NAME [":" OPTIONS]
    NAME    = a registered name, or module.path:Factory
    OPTIONS = KEY "=" VALUE {"," KEY "=" VALUE}
    VALUE   = ITEM {";" ITEM}
    ITEM    = TEXT | NAME "(" [OPTIONS] ")"

``oprm:chunk_size=512,idk_filter=false``, ``needle:lengths=1k;4k``, ``short=oprm:chunk_size=128``,
``rag:retriever=dense(encoder=minilm),k=3``, ``my_package.ideas:Echo:times=2``. A TEXT is free of ``, ; ( )``;
spaces around any part are dropped. Options have no order: the canonical form sorts them. What they mean is
the factory's business (`comparison.options`). Exercised by ``pytest tests/comparison/test_naming.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

DEEPEST = 8  # nested parentheses: far beyond any real composition, far below the recursion limit

_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_FACTORY = r"[A-Za-z_][A-Za-z0-9_.]*"
_LABEL = re.compile(r"\s*([^=:(),;]*?)\s*=")
_HEAD = re.compile(rf"\s*({_NAME}(?:\s*:\s*{_FACTORY}(?=\s*(?::|$)))?)\s*")
_CALL = re.compile(rf"({_NAME}(?::{_FACTORY})?)\s*\((.*)\)")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class SpecError(ValueError):
    """A SPEC that cannot be read or resolved; the message is one line that says what was expected."""


@dataclass(frozen=True)
class Spec:
    """A parsed SPEC. Every option's value is a tuple of items, of one item where there was no ``;``; an item
    is text or a nested Spec. `label` is empty unless the text named one."""

    name: str
    options: tuple[tuple[str, tuple[Item, ...]], ...] = ()
    label: str = ""

    def __str__(self) -> str:
        """The canonical text, without the label: options sorted by key, no spaces."""
        return f"{self.name}:{_join(self.options)}" if self.options else self.name

    def nested(self) -> str:
        """The canonical text as an item of another SPEC."""
        return f"{self.name}({_join(self.options)})" if self.options else self.name


Item = str | Spec


def parse(text: str) -> Spec:
    """Read one SPEC. Any text that is not one raises `SpecError`."""
    if not text.isprintable():
        raise SpecError(f"{text!r} holds a character that cannot be printed; a SPEC is plain text")
    label, rest = "", text
    if match := _LABEL.match(text):
        label, rest = match[1], text[match.end() :]
        if not label:
            raise SpecError(f"{text!r} has nothing before its first '='; expected LABEL=SPEC or a SPEC")
    head = _HEAD.match(rest)
    if not head:
        raise SpecError(f"{text!r} is not a SPEC; expected name, name:key=value,... or module.path:Factory")
    name, tail = re.sub(r"\s", "", head[1]), rest[head.end() :]
    if tail and not tail.startswith(":"):
        raise SpecError(
            f"{text!r} has {tail[:20]!r} after the name {name!r}; options follow a colon: {name}:key=value"
        )
    return Spec(name, _options(tail[1:], text, 0), label)


def parse_nested(text: str) -> Spec:
    """Read one SPEC in its nested form, ``name`` or ``name(key=value,...)``."""
    item = _item(text.strip(), text, 0)
    return parse(item) if isinstance(item, str) else item


def _options(text: str, whole: str, depth: int) -> tuple[tuple[str, tuple[Item, ...]], ...]:
    if depth > DEEPEST:
        raise SpecError(f"{_short(whole)} nests parentheses more than {DEEPEST} deep")
    if not text.strip():
        return ()
    options: dict[str, tuple[Item, ...]] = {}
    for part in _split(text, ",", whole):
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals or not _KEY.fullmatch(name):
            hint = " (a list is written with ';')" if options else ""
            raise SpecError(
                f"{_short(whole)} has {part.strip()!r} where an option key=value was expected{hint}"
            )
        if name in options:
            raise SpecError(f"{_short(whole)} gives the option {name} twice")
        options[name] = tuple(_item(piece.strip(), whole, depth) for piece in _split(value, ";", whole))
    return tuple(sorted(options.items()))


def _item(text: str, whole: str, depth: int) -> Item:
    if "(" not in text:
        return text
    call = _CALL.fullmatch(text)
    if not call:
        raise SpecError(f"{_short(whole)} has {text!r} where a value or name(key=value,...) was expected")
    spec = Spec(call[1], _options(call[2], whole, depth + 1))
    return spec if spec.options else spec.name


def _split(text: str, separator: str, whole: str) -> list[str]:
    """Cut at the separators outside every parenthesis."""
    pieces, start, depth = [], 0, 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth < 0:
            break
        if character == separator and depth == 0:
            pieces.append(text[start:position])
            start = position + 1
    if depth != 0:
        raise SpecError(f"{_short(whole)} has parentheses that do not match")
    return [*pieces, text[start:]]


def _join(options: Iterable[tuple[str, tuple[Item, ...]]]) -> str:
    return ",".join(f"{name}={join_items(items)}" for name, items in options)


def join_items(items: Iterable[Item]) -> str:
    """Items as the text of one value."""
    return ";".join(item if isinstance(item, str) else item.nested() for item in items)


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
