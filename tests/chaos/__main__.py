"""Seeded runs of a small comparison under faults: ``python -m tests.chaos`` (``make chaos``), a line a run.

``--seed 17`` repeats one. Killed drivers and workers, power cuts, full and read-only disks, torn lines, second
drivers, readers that run out of memory, answer NaN or hang: the command is repeated until it ends, and the run folder
must hold what a clean run's holds.
"""

from __future__ import annotations

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import mkdtemp

sys.path.insert(0, str(Path(__file__).parent))

from chaos_checks import Broken
from chaos_run import Survived, chaos_run, clean_run

from comparison.command_line import Parser


def main() -> int:
    flags = Parser(prog="python -m tests.chaos", description=(__doc__ or "").split(":")[0])
    flags.add_argument("--runs", type=int, default=100, help="the seeds 0 to RUNS - 1 (100)")
    flags.add_argument("--seed", type=int, help="this seed alone")
    asked = flags.parse_args()
    if asked.runs < 1:
        flags.error(f"--runs is {asked.runs}, expected at least 1")
    seeds = range(asked.runs) if asked.seed is None else [asked.seed]
    root = Path(mkdtemp(prefix="chaos-"))
    (root / "clean").mkdir()
    clean = clean_run(root / "clean")

    def survive(seed: int) -> Survived | str:
        scratch = root / str(seed)
        scratch.mkdir()
        try:
            survived = chaos_run(seed, scratch, clean)
        except Broken as problem:
            return f"seed {seed:3}  FAILED ({scratch}): {problem}; again: python -m tests.chaos --seed {seed}"
        shutil.rmtree(scratch)
        return survived

    failed = faults = again = 0
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for result in pool.map(survive, seeds):
            print(result, flush=True)
            if isinstance(result, Survived):
                faults, again = faults + len(result.faults), again + result.again
            else:
                failed += 1
    print(
        f"{len(seeds)} runs, {faults} faults, {again} answers given again, {failed} runs that lost, doubled or broke "
        "something"
    )
    if not failed:
        shutil.rmtree(root)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
