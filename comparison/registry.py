"""What is found by name: a table of strings for what is built in, package metadata for plugins.

Nothing is imported until it is asked for. A room of the built-in ones keeps its table and has a `Registry` over
it; a plugin registers under the room's entry-point group, or is named as ``module.path:Factory``. Imports
nothing of ours. Exercised by ``python run_compare.py --list`` and ``pytest tests/test_plugin.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import reduce
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any


@dataclass(frozen=True)
class Entry:
    """Where a factory is ("module:Factory", imported when it is asked for), and one line about it."""

    target: str
    line: str


@dataclass(frozen=True)
class Registry:
    """Everything of one `kind` (the word for it in messages): the table of what is built in, and the plugins of
    an entry-point `group`."""

    kind: str
    group: str
    built_in: Mapping[str, Entry]

    def describe(self) -> list[tuple[str, str, str]]:
        """Name, one line and origin ("built in" or the distribution) of every one, without importing any."""
        rows = [(name, entry.line, "built in") for name, entry in self.built_in.items()]
        for plugin in entry_points(group=self.group):
            summary = plugin.dist.metadata["Summary"] if plugin.dist else None
            rows.append((plugin.name, summary or plugin.value, _origin(plugin)))
        return rows

    def find(self, name: str) -> Callable[..., Any]:
        """The factory called `name`: a built-in, a plugin, or ``module.path:Factory``.

        ValueError where the name is unknown (with the nearest match), where two origins claim it (naming both),
        or where the import fails (the cause is chained)."""
        if ":" in name:
            return self._load(name, name, "named on the command line")
        plugins = [plugin for plugin in entry_points(group=self.group) if plugin.name == name]
        origins = ["built in"] * (name in self.built_in) + [_origin(plugin) for plugin in plugins]
        if not origins:
            raise ValueError(f"unknown {self.kind} {name!r}: {self._nearest(name)}")
        if len(origins) > 1:
            claims = " and ".join(origins)
            raise ValueError(f"{self.kind} {name!r} is claimed twice ({claims}): uninstall or rename one")
        return self._load(name, plugins[0].value if plugins else self.built_in[name].target, origins[0])

    def _nearest(self, name: str) -> str:
        known = [known for known, _, _ in self.describe()]
        near = get_close_matches(name, known, n=1, cutoff=0.5)
        hint = (
            f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}, or module.path:Factory"
        )
        return f"{hint} (run_compare.py --list describes them)"

    def _load(self, name: str, target: str, origin: str) -> Callable[..., Any]:
        module, _, attribute = target.partition(":")
        try:
            factory = reduce(getattr, attribute.split("."), import_module(module))
        except (Exception, SystemExit) as error:
            cause = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ValueError(f"{self.kind} {name!r} ({origin}): cannot import {target}: {cause}") from error
        if not callable(factory):
            raise ValueError(
                f"{self.kind} {name!r} ({origin}): {target} is not a factory, it cannot be called"
            )
        return factory


def _origin(plugin: EntryPoint) -> str:
    return plugin.dist.name if plugin.dist else plugin.value
