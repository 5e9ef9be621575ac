"""``python -m benchmarks.longbench score DIR``: score somebody's LongBench predictions, as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.longbench.score import score_folder
from benchmarks.matching import CODE_SIMILARITIES

EXAMPLES = """examples:
  python -m benchmarks.longbench score pred/llama2-7b-chat-4k
  python -m benchmarks.longbench score pred_e/rwkv_5_7b_v2 --e --code-similarity levenshtein
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The scores on stdout, what was wrong with the files on stderr; status 2 where nothing can be scored."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.longbench",
        description="Score predictions on LongBench as its own eval.py does, to the last printed digit.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command = parser.add_subparsers(required=True, metavar="score").add_parser(
        "score", help="score a folder", epilog=parser.epilog, formatter_class=parser.formatter_class
    )
    command.add_argument(
        "dir", type=Path, metavar="DIR", help="a folder of <task>.jsonl with pred and answers"
    )
    command.add_argument("--e", action="store_true", help="LongBench_e: by bucket of the stored length")
    command.add_argument(
        "--code-similarity",
        choices=CODE_SIMILARITIES,
        default="difflib",
        help="the measure of lcc and repobench-p: fuzzywuzzy's without python-Levenshtein, or with it",
    )
    options = parser.parse_args(arguments)
    try:
        result, notes = score_folder(options.dir, e=options.e, code_similarity=options.code_similarity)
    except (ValueError, OSError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    for note in notes:
        print(note, file=sys.stderr)
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
