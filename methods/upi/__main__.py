"""Measure how far a reader looks back, for UPI: ``python -m methods.upi calibrate --model NAME --text FILE``."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from functools import partial

from comparison.command_line import run_program
from methods.calibrate_command import calibrate_command, load
from methods.calibration import file_of
from methods.upi import WINDOWS, calibrate, window_length


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 2 after a message of one line on stderr."""
    line = "measure how far a reader's channels look back, for UPI, and keep it"
    parser, _ = calibrate_command("upi", line, WINDOWS)
    return run_program(parser.prog, partial(_calibrate, parser.parse_args(arguments)))


def _calibrate(asked: Namespace) -> int:
    engine, text = load(asked, window_length)
    made = calibrate(engine, text, windows=asked.windows)
    print(file_of(type(made), made.model, made.text))
    print(f"{made.windows} windows of {made.length:,} tokens, {made.seconds:.1f} s; mean distances in tokens")
    for layer, (distance, wide) in enumerate(zip(made.distance, made.widest(0.2), strict=True)):
        print(
            f"layer {layer}: median {distance.median():.1f}, longest {distance.max():.1f}; {int(wide.sum())} of "
            f"{len(wide)} among the widest fifth"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
