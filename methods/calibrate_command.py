"""What ``python -m methods.longmamba calibrate`` and ``python -m methods.upi calibrate`` share: the flags, the
reader and the text.

The text should be like what the reader was trained on, some windows long. For the embedded model, which reads the
suite's own English only, it is made by the benchmarks on a seed of its own, and --text is not needed.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmarks.calibration_text import calibration_text
from comparison.command_line import Parser, add_reader, path_of, reader_options
from methods.calibration import read_text

if TYPE_CHECKING:
    from models.engine import Engine


def calibrate_command(method: str, line: str, windows: int) -> tuple[Parser, Parser]:
    """The parser of ``python -m methods.METHOD`` and that of its one command, to which the program adds its own
    flags; `line` says what the command does, `windows` how many it reads unless told."""
    parser = Parser(prog=f"python -m methods.{method}", description=line)
    command = parser.add_subparsers(required=True, metavar="COMMAND").add_parser("calibrate", help=line)
    add_reader(command)
    command.add_argument("--text", type=path_of, metavar="FILE", help="what to read (UTF-8)")
    command.add_argument("--windows", type=int, default=windows, help=f"how many, default {windows}")
    return parser, command


def load(asked: Namespace, window_length: Callable[[Engine], int]) -> tuple[Engine, str]:
    """The reader, and the text that it is to read: that of --text, or two windows of every kind of prompt.

    ValueError for a reader of real text without --text."""
    from models.engine import Engine

    text = None if asked.text is None else read_text(asked.text)
    engine = Engine.load(asked.model, **reader_options(asked))
    if text is None:
        if not engine.spec.suite_english_only:
            raise ValueError(f"{engine.spec.name} needs --text FILE, a text like what it was trained on")
        text = calibration_text(engine.count_tokens, 2 * window_length(engine))
    return engine, text
