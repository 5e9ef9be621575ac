"""What the command lines of all programs share: argparse, but an error is one line, and so is what Ctrl-C leaves;
what a program prints and draws depends neither on the terminal nor on who started it.

Exercised by ``python run_compare.py --no-such-flag`` and ``pytest tests/comparison/test_command_line.py``.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """argparse, but an error is one line, no flag is abbreviated and an epilog stands as it is written; the exit
    status is its own 2."""

    def __init__(self, **options: Any) -> None:
        plain: dict[str, Any] = {
            "allow_abbrev": False,
            "formatter_class": argparse.RawDescriptionHelpFormatter,
        }
        super().__init__(**(plain | options))

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (--help shows all flags)\n")


def path_of(text: str) -> Path:
    """The type of a flag that names a file or a folder. A blank one is refused: the current folder is not what an
    unset variable of a script means."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty, expected a path")
    return Path(text)


def add_trust(parser: argparse.ArgumentParser) -> None:
    """The flag without which no code from a reader's repository runs."""
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run the code in the reader's repository, where it needs that: read it first",
    )


def add_reader(parser: argparse.ArgumentParser) -> None:
    """The flags of a program for one reader; `reader_options` are those beside its name."""
    parser.add_argument("--model", required=True, help="a reader's name, hub id or folder")
    parser.add_argument("--revision", metavar="REV", help="commit, branch or tag of a hub id")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--dtype", default="auto", help="auto, float32, float16 or bfloat16")
    add_trust(parser)


def reader_options(given: argparse.Namespace) -> dict[str, Any]:
    """How `Engine.load` is told to open the reader of `add_reader`."""
    return {name: getattr(given, name) for name in ("revision", "device", "dtype", "trust_remote_code")}


def run_program(program: str, work: Callable[[], int], interrupted: str = "") -> int:
    """The exit status: that of `work`, 2 for a user's error (ValueError, OSError), 130 for Ctrl-C, both after one
    line on stderr; 141 without a word where nobody reads on (``| head``). `interrupted` says what Ctrl-C left and
    how to go on."""
    # pictures become files; a notebook names a backend that is in its own environment alone
    os.environ["MPLBACKEND"] = "agg"
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        status = work()
        print(end="", flush=True)  # where there is no stdout (`>&-`), print does nothing
        return status
    except KeyboardInterrupt:
        print(": ".join(filter(None, ("interrupted", interrupted))), file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        return 141
    except (ValueError, OSError) as problem:
        from comparison.records import printable

        said = str(problem)
        if isinstance(problem, OSError) and problem.filename is not None:
            said = f"{problem.filename}: {problem.strerror}"
        print(f"{program}: error: {printable(' '.join(said.split()))}", file=sys.stderr)
        return 2
