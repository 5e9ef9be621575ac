"""``python -m benchmarks.longbench score DIR``: score somebody's LongBench predictions, as JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks.longbench.score import score_folder
from benchmarks.matching import CODE_SIMILARITIES
from benchmarks.scoring import print_scores, score_command
from comparison.command_line import path_of

EXAMPLES = """examples:
  python -m benchmarks.longbench score pred/llama2-7b-chat-4k
  python -m benchmarks.longbench score pred_e/rwkv_5_7b_v2 --e --code-similarity levenshtein
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser, command = score_command(
        "longbench",
        "Score predictions on LongBench as its own eval.py does, to the last printed digit.",
        EXAMPLES,
        "a folder",
    )
    command.add_argument(
        "dir", type=path_of, metavar="DIR", help="a folder of <task>.jsonl with pred and answers"
    )
    command.add_argument("--e", action="store_true", help="LongBench_e: by bucket of the stored length")
    command.add_argument(
        "--code-similarity",
        choices=CODE_SIMILARITIES,
        default="difflib",
        help="the measure of lcc and repobench-p: fuzzywuzzy's without python-Levenshtein, or with it",
    )
    options = parser.parse_args(arguments)
    return print_scores(
        parser.prog, lambda: score_folder(options.dir, e=options.e, code_similarity=options.code_similarity)
    )


if __name__ == "__main__":
    sys.exit(main())
