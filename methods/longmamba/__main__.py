"""Calibrate a reader for LongMamba: ``python -m methods.longmamba calibrate --model NAME --text FILE``."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from functools import partial

from comparison.command_line import run_program
from methods.calibrate_command import calibrate_command, load
from methods.calibration import file_of
from methods.longmamba import CLIP, WINDOWS, calibrate, kind, window_length


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 2 after a message of one line on stderr."""
    line = "measure a reader's time steps for LongMamba, and keep them"
    parser, command = calibrate_command("longmamba", line, WINDOWS)
    clips = f"default {CLIP['channels']:g} (Mamba-2: {CLIP['heads']:g})"
    command.add_argument("--clip", type=float, help=f"percent of the steps, {clips}")
    return run_program(parser.prog, partial(_calibrate, parser.parse_args(arguments)))


def _calibrate(asked: Namespace) -> int:
    engine, text = load(asked, window_length)
    made = calibrate(engine, text, clip=asked.clip, windows=asked.windows)
    print(file_of(type(made), made.model, made.text))
    print(f"{made.windows} windows of {made.trained:,} tokens, clip {made.clip:g} %, {made.seconds:.1f} s")
    for theta in (1e-30, 1e-10, 1e-5, 1e-3, 5e-2, 0.5):
        share = (made.decay > theta).float().mean().item()
        print(f"theta {theta:g}: {share:.1%} of the {kind(engine.model)} are global")
    return 0


if __name__ == "__main__":
    sys.exit(main())
