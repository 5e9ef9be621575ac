"""What the programs that score somebody's predictions share: their command line, and where the outcome goes.

Exercised by ``python -m benchmarks.longbench score DIR`` and its likes for HotpotQA and InfiniteBench.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from comparison.command_line import Parser, run_program


def score_command(benchmark: str, description: str, epilog: str, what: str) -> tuple[Parser, Parser]:
    """The parser of ``python -m benchmarks.BENCHMARK`` and that of its one command, ``score``, to which the
    program adds its arguments; `what` is scored."""
    parser = Parser(prog=f"python -m benchmarks.{benchmark}", description=description, epilog=epilog)
    command = parser.add_subparsers(required=True, metavar="score").add_parser(
        "score", help=f"score {what}", epilog=epilog
    )
    return parser, command


def print_scores(program: str, score: Callable[[], tuple[Mapping[str, Any], Sequence[str]]]) -> int:
    """The scores on stdout as JSON, what was wrong with the files on stderr; status 2 where nothing can be
    scored, 130 on Ctrl-C."""

    def work() -> int:
        result, notes = score()
        for note in notes:
            print(note, file=sys.stderr)
        print(json.dumps(result, indent=2))
        return 0

    return run_program(program, work)
