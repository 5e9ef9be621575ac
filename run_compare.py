"""Compare inference methods of one long-context reader on the same examples: the command line.

Flags or TOML become a plan, the plan becomes records in a run folder, the records become a report; the rooms
do the work. Exercised by ``python run_compare.py --limit 20`` and ``pytest tests/test_run_compare.py``.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from comparison.command_line import Parser, add_trust, path_of, run_program

EXAMPLES = """\
examples:
  python run_compare.py --limit 20                      every default method and benchmark, 20 examples a task
  python run_compare.py --method oprm --method rag:k=3 --benchmark "recall:facts=25;100"
  python run_compare.py --method oprm:chunk_size=512,idk_filter=false --dry-run
  python run_compare.py --method short=oprm:chunk_size=128 --method my_package.ideas:Echo:times=2
  python run_compare.py --model tiiuae/falcon-mamba-7b-instruct --benchmark "needle:lengths=1k;4k;16k"
  python run_compare.py --config recipes/demo.toml      settings from a file; flags win over it
  python run_compare.py --config FILE --timeout 60      a watched process answers; one that hangs is killed
  python run_compare.py --config FILE --shard 2/8       the second of eight jobs that share one run folder
  python run_compare.py --config FILE --executor ray    every GPU answers; a cluster's with --ray-address
  python run_compare.py --list                          every method, benchmark, retriever and reader
  python run_compare.py doctor                          what this machine can run, and what is not installed

A SPEC is NAME, NAME:key=value,key=value or LABEL=SPEC. Lists use ';' (quote them), 1k is 1000, a value may
be NAME(key=value,...), and NAME may be module.path:Factory. The same command again goes on where it stopped;
more methods, more benchmarks or a larger --limit extend a run folder. In the TOML file the keys are the long
flags, and method and benchmark are lists of SPECs.
"""


def parser() -> Parser:
    flags = Parser(
        prog="run_compare.py",
        description="Compare inference methods of one long-context reader on the same examples.",
        epilog=EXAMPLES,
        argument_default=argparse.SUPPRESS,  # what was not given is the config file's to say
    )
    add = flags.add_argument
    add("--model", metavar="NAME", help="a reader of --list (tiny, the embedded one), a hub id or a folder")
    add("--revision", metavar="REV", help="the commit, branch or tag of a hub id (the reader's own)")
    add(
        "--method",
        metavar="SPEC",
        action="append",
        help="a method; again for more "
        "(default: full, truncate, closed_book, random_chunk, oracle_chunk, oprm, rag)",
    )
    add(
        "--benchmark", metavar="SPEC", action="append", help="a benchmark (default: recall, needle, multihop)"
    )
    add("--baseline", metavar="SPEC", help="the method all others are compared with; added if absent (full)")
    add("--limit", metavar="N", type=int, help="at most N examples a task, evenly over its buckets")
    add("--seed", metavar="S", type=int, help="what the generated examples are drawn from (0)")
    add(
        "--device", choices=("auto", "cpu", "cuda"), help="where the reader runs (auto: CUDA if there is one)"
    )
    add("--dtype", choices=("auto", "float32", "float16", "bfloat16"), help="the reader's precision (auto)")
    add_trust(flags)
    add("--data-dir", metavar="DIR", help="where benchmarks that read files look for them")
    add(
        "--import-predictions",
        metavar="LABEL=DIR",
        action="append",
        help="somebody's <task>.jsonl files (pred and _id or answers) as one more method; again for more",
    )
    add("--out", metavar="DIR", help="the run folder (runs/compare)")
    add("--shard", metavar="I/N", help="answer the I-th of N parts of every task (a SLURM array's jobs)")
    add("--timeout", metavar="S", type=float, help="kill an answer after S seconds; it counts as failed")
    add("--executor", choices=("serial", "ray"), help="who answers: this machine, or Ray's workers (serial)")
    add("--workers", metavar="N", type=int, help="Ray: workers (the cluster's GPUs, or one a machine)")
    add("--ray-address", metavar="ADDR", help="Ray: a cluster to join (default: one on this machine)")
    add("--config", metavar="FILE", type=path_of, help="a TOML file of these settings; flags win over it")
    add("--dry-run", action="store_true", help="print what would be run, with counts, and stop")
    add("--list", action="store_true", help="list the methods, benchmarks, retrievers and readers, and stop")
    return flags


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 2 for a user's error, 130 when interrupted."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    answers_nothing = arguments[:1] == ["doctor"] or {"--list", "--dry-run"} & set(arguments)
    kept = "" if answers_nothing else "the answers so far are kept, the same command goes on from there"
    return run_program("run_compare.py", partial(_run, arguments), kept)


def _run(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["doctor"]:
        return _doctor(arguments[1:])
    given = vars(parser().parse_args(arguments))
    if not given.get("list"):
        return _compare(given, arguments)
    from comparison.plan import listing

    print(listing())
    return 0


def _doctor(flags: Sequence[str]) -> int:
    from comparison.doctor import diagnose

    about = "Say what this machine can run and what is not installed, a finding a line."
    Parser(prog="run_compare.py doctor", description=about).parse_args(flags)
    return diagnose()


def _compare(given: dict, arguments: Sequence[str]) -> int:
    from comparison import grid, plan

    config = plan.read_config(given["config"]) if "config" in given else {}
    flags = {name.replace("_", "-"): value for name, value in given.items()}
    planned = plan.make_plan(config | {name: flags[name] for name in plan.DEFAULTS if name in flags})
    counter = grid.estimate_or_count if given.get("dry_run") else grid.token_counter
    count_tokens = counter(planned.reader, planned.trust_remote_code)
    tasks = grid.load_tasks(planned, count_tokens)
    print(grid.describe(planned, tasks), flush=True)
    if given.get("dry_run"):
        from comparison.forecast import forecast

        print(forecast(planned, tasks, count_tokens))
        return 0

    from comparison.run import run

    tally, report = run(planned, tasks, shlex.join(["python", "run_compare.py", *arguments]))
    if report is None:
        print(
            f"\n{tally.describe()}\n{tally.left:,} answers are left to other shards; the last makes the report, "
            f"and so does: python -m reports {shlex.quote(str(planned.out))}"
        )
    else:
        print(f"\n{tally.describe()}\n\n{main_table(planned.out / 'results.csv')}\n\nreport: {report}")
    return 0


def main_table(results: Path) -> str:
    """`results.csv` as a short table: a row a method, a column a task, mean points over all buckets."""
    import csv

    with results.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["bucket"] == "all"]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    means = {(row["method"], row["task"]): f"{float(row['mean']):.1f}" for row in rows}
    width = max(len(name) for name in ["method", *methods])
    lines = [f"{'method':{width}}  {'  '.join(tasks)}"]
    for method in methods:
        cells = (f"{means.get((method, task), '-'):>{len(task)}}" for task in tasks)
        lines.append(f"{method:{width}}  {'  '.join(cells)}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
