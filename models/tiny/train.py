"""Train the embedded model from scratch on a CPU: ``python -m models.tiny.train --seed 0 --out runs/tiny-0``.

The curriculum is ``benchmarks/curriculum.py``: three ladders of lessons. Every step's lessons derive from the seed and
the step's number. The last sixth of the steps polishes: facts of every density with more questions without an answer.
Loss, learning rate and checkpoint are in ``models/tiny/learning.py``.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from benchmarks import english
from benchmarks.base import stable_seed
from benchmarks.curriculum import Ladder, choose_ladder, choose_polish, ladders, write_batch
from benchmarks.lessons import Lesson, Teacher
from comparison.command_line import Parser, path_of, run_program
from models.tiny.learning import Run
from models.tiny.model import new_model
from models.tiny.tokenizer import END, build_tokenizer
from retrievers.pairwise import pair_prompt

TOKENS_PER_STEP = 6144


def make_teacher() -> tuple[PreTrainedTokenizerFast, Teacher]:
    pair_words = pair_prompt(" ", " ", " ")
    for mark in ":?":
        pair_words = pair_words.replace(mark, f" {mark} ")
    tokenizer = build_tokenizer([*english.vocabulary(), *pair_words.lower().split()])
    word_ids = tokenizer.get_vocab()
    return tokenizer, Teacher(word_ids, pair_prompt("{a}", "{b}", "{question}"), word_ids[END])


def start(out: Path, *, seed: int, steps: int, hidden: int, layers: int, state: int) -> Run:
    """A run at its first step, with all three ladders."""
    tokenizer, teacher = make_teacher()
    all_ladders = ladders()

    def course(step: int, polishing: bool) -> tuple[Ladder, bool, list[Lesson]]:
        rng = random.Random(stable_seed("tiny", seed, step))
        if polishing:
            (ladder, writer), climbing = choose_polish(all_ladders, rng), False
        else:
            ladder = choose_ladder(all_ladders, rng)
            writer, climbing = ladder.choose(rng)
        return ladder, climbing, write_batch(teacher, writer, rng, TOKENS_PER_STEP)

    model = new_model(len(tokenizer), hidden=hidden, layers=layers, state=state, seed=seed, end=teacher.end)
    return Run(out, model, tokenizer, teacher, course, all_ladders, seed=seed, steps=steps)


def train(run: Run, *, save_every: int = 200) -> None:
    """Train to the last step, saving on the way, at the end and on Ctrl-C."""
    bar = tqdm(total=run.steps, initial=run.step, unit="step", smoothing=0.05)
    means: dict[str, list[float]] = {}
    try:
        while run.step < run.steps:
            ladder, loss, accuracy, absent = run.train_step()
            mean = means.setdefault(ladder.name, [loss, accuracy, absent])
            means[ladder.name] = [
                old if new != new else new if old != old else 0.95 * old + 0.05 * new
                for old, new in zip(mean, (loss, accuracy, absent), strict=True)
            ]
            bar.update()
            if run.step % 50 == 0:
                bar.set_postfix_str(_summary(run, means))
            if run.step % save_every == 0:
                run.save()
    finally:
        bar.close()
        run.save()


def _summary(run: Run, means: dict[str, list[float]]) -> str:
    parts = [
        f"{name[0]}{run.ladders[name].rung} {accuracy:.2f}/{absent:.2f}"
        for name, (_, accuracy, absent) in sorted(means.items())
    ]
    return " ".join(parts) + f" {run.tokens / 1e6:.1f}M {1e6 * run.seconds / run.tokens:.0f}us/tok"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = Parser(prog="python -m models.tiny.train", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=9600, help="of about 6,144 tokens (default 9600)")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--state", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--out", type=path_of, default=Path("runs/tiny"), help="checkpoints and the model (resumes)"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; 2 on a user's error, 130 when interrupted."""
    kept = "the same command goes on from the last step"
    return run_program("python -m models.tiny.train", partial(_run, arguments), kept)


def _run(arguments: Sequence[str] | None) -> int:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    run = start(
        options.out, seed=options.seed, steps=options.steps,
        hidden=options.hidden, layers=options.layers, state=options.state,
    )  # fmt: skip
    run.resume()
    train(run)
    return 0


if __name__ == "__main__":
    sys.exit(main())
