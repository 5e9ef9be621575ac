"""Calibrate a reader for LongMamba: ``python -m methods.longmamba calibrate --model NAME --text FILE``.

The text should be like what the reader was trained on, a few windows long. For the embedded model, which reads
the suite's own English only, it is made by the benchmarks on a seed of its own, and --text is not needed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.calibration_text import calibration_text
from methods.calibration import folder
from methods.longmamba import CLIP, WINDOWS, calibrate, kind, window_length
from models.engine import Engine


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 2 after a message of one line on stderr."""
    asked = parse(arguments)
    try:
        engine = Engine.load(asked.model, device=asked.device, dtype=asked.dtype)
        text = own_english(engine) if asked.text is None else asked.text.read_text(encoding="utf-8")
        made = calibrate(engine, text, clip=asked.clip, windows=asked.windows)
    except (OSError, ValueError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    print(f"{folder('longmamba') / f'{made.model}-{made.text}.safetensors'}")
    print(f"{made.windows} windows of {made.trained:,} tokens, clip {made.clip:g} %, {made.seconds:.1f} s")
    for theta in (1e-30, 1e-10, 1e-5, 1e-3, 5e-2, 0.5):
        print(
            f"theta {theta:g}: {(made.decay > theta).float().mean().item():.1%} of the {kind(engine)} are global"
        )
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    flags = argparse.ArgumentParser(
        prog="python -m methods.longmamba", description=(__doc__ or "").split("\n")[0]
    )
    command = flags.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "calibrate", help="measure a reader's time steps and keep them"
    )
    command.add_argument("--model", required=True, help="a reader's name, hub id or folder")
    command.add_argument("--text", type=Path, metavar="FILE", help="what to read (UTF-8)")
    command.add_argument("--windows", type=int, default=WINDOWS, help=f"how many, default {WINDOWS}")
    command.add_argument(
        "--clip",
        type=float,
        help=f"percent of the steps, default {CLIP['channels']:g} (Mamba-2: {CLIP['heads']:g})",
    )
    command.add_argument("--device", default="auto")
    command.add_argument("--dtype", default="auto")
    return flags.parse_args(arguments)


def own_english(engine: Engine) -> str:
    """Two windows of every kind of prompt. ValueError for a reader of real text."""
    if not engine.spec.suite_english_only:
        raise ValueError(f"{engine.spec.name} needs --text FILE, a text like what it was trained on")
    return calibration_text(engine.count_tokens, 2 * window_length(engine))


if __name__ == "__main__":
    sys.exit(main())
