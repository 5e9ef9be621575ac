"""``python -m benchmarks.hotpotqa score --gold FILE --predictions FILE``: score somebody's answers, as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.hotpotqa.score import score_files


def main(arguments: Sequence[str] | None = None) -> int:
    """The scores on stdout, what was wrong with the files on stderr; status 2 where nothing can be scored."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hotpotqa",
        description="Score answers to HotpotQA as its own evaluation does.",
        epilog="example:\n  python -m benchmarks.hotpotqa score --gold hotpot_dev_distractor_v1.json "
        "--predictions pred.json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command = parser.add_subparsers(required=True, metavar="score").add_parser(
        "score", help="score a file", epilog=parser.epilog, formatter_class=parser.formatter_class
    )
    command.add_argument(
        "--gold", type=Path, required=True, metavar="FILE", help="questions, JSON or JSON lines"
    )
    command.add_argument(
        "--predictions", type=Path, required=True, metavar="FILE", help="answer (and sp) by the question's id"
    )
    options = parser.parse_args(arguments)
    try:
        result, notes = score_files(options.gold, options.predictions)
    except (ValueError, OSError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    for note in notes:
        print(note, file=sys.stderr)
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
