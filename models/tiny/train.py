"""Train the embedded model from scratch on a CPU: ``python -m models.tiny.train --seed 0 --out runs/tiny-0``.

The curriculum is ``benchmarks/curriculum.py``: three ladders of lessons. Every step's lessons derive
from the seed and the step's number, so a run that was stopped goes on from its last checkpoint as if it had not been.
Learning rate: flat, then a cosine. The last sixth of the steps polishes: a second, lower cosine over facts of every
density with more questions without an answer. The loss counts answer tokens alone.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn import functional as F
from tqdm import tqdm
from transformers import MambaForCausalLM, PreTrainedTokenizerFast

from benchmarks import english
from benchmarks.base import stable_seed
from benchmarks.curriculum import Ladder, Writer, choose_ladder, choose_polish, ladders
from benchmarks.lessons import IGNORE, Lesson, Teacher
from models.cpu_mamba import attach
from models.tiny.model import new_model
from models.tiny.tokenizer import END, build_tokenizer
from retrievers.pairwise import PAIR_PROMPT

TOKENS_PER_STEP = 6144
TRACE_SHARE = 0.3
PEAK_RATE, WARM_UP, FLAT, FLOOR = 2.5e-3, 60, 0.4, 0.02
POLISH, POLISH_RATE = 1 / 6, 1e-3


def write_batch(teacher: Teacher, writer: Writer, rng: random.Random) -> list[Lesson]:
    write = writer(teacher, rng)
    lessons: list[Lesson] = []
    while sum(len(lesson.ids) for lesson in lessons) < TOKENS_PER_STEP:
        lessons.append(write())
    return lessons


def collate(lessons: Sequence[Lesson], pad: int) -> dict[str, torch.Tensor]:
    """Right-padded [batch, length] tensors; what follows a lesson cannot change what is before."""
    length = max(len(lesson.ids) for lesson in lessons)
    blanks = {"ids": pad, "targets": IGNORE, "weights": 0.0, "traces": IGNORE}
    rows = {name: [getattr(one, name) for one in lessons] for name in blanks}
    return {
        name: torch.tensor([row + [blank] * (length - len(row)) for row in rows[name]])
        for name, blank in blanks.items()
    }


def loss_and_accuracy(
    model: MambaForCausalLM, lessons: Sequence[Lesson], teacher: Teacher
) -> tuple[torch.Tensor, float, float]:
    """Weighted cross-entropy, accuracy on first answer tokens, and how often "error" was right where it was due.

    The traces are asked of the first layer: the letter of a passage must be at hand where a later layer binds it
    to a name, and left to itself the model finds it too late, in its last layer.
    """
    batch = collate(lessons, teacher.end)
    output = model.backbone(batch["ids"], use_cache=False, output_hidden_states=True)
    counted, traced = batch["targets"] != IGNORE, batch["traces"] != IGNORE
    logits = model.lm_head(output.last_hidden_state[counted])
    goals, shares = batch["targets"][counted], batch["weights"][counted]
    loss = (F.cross_entropy(logits, goals, reduction="none") * shares).sum() / shares.sum()
    if traced.any():
        early = model.lm_head(model.backbone.norm_f(output.hidden_states[1][traced]))
        loss = loss + TRACE_SHARE * F.cross_entropy(early, batch["traces"][traced])
    right = logits.argmax(-1) == goals
    scored = (shares == 1.0) & ~torch.isin(goals, torch.tensor([teacher.end, *teacher.link]))
    answers, absents = scored & (goals != teacher.error), scored & (goals == teacher.error)
    return loss, _mean(right[answers]), _mean(right[absents])


def _mean(values: torch.Tensor) -> float:
    return values.float().mean().item() if values.numel() else float("nan")


def polish_start(steps: int) -> int:
    return steps - round(POLISH * steps)


def rate(step: int, steps: int) -> float:
    """The learning rate: up, flat, down; up again to less than half, and down."""
    start = polish_start(steps)
    peak, flat, floor = (PEAK_RATE, FLAT, FLOOR) if step < start else (POLISH_RATE, 0.0, 0.0)
    step, steps = (step, start) if step < start else (step - start, steps - start)
    if step < WARM_UP:
        return peak * (step + 1) / WARM_UP
    late = max(0.0, (step / steps - flat) / (1 - flat))
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * late)))


def make_optimizer(model: MambaForCausalLM) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.ndim == 2 and p.shape[-1] > 16]
    others = [p for p in model.parameters() if not any(p is m for m in matrices)]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.98), fused=True)


def make_teacher() -> tuple[PreTrainedTokenizerFast, Teacher]:
    pair_words = PAIR_PROMPT.replace("{a}", " ").replace("{b}", " ").replace("{question}", " ")
    for mark in ":?":
        pair_words = pair_words.replace(mark, f" {mark} ")
    tokenizer = build_tokenizer([*english.vocabulary(), *pair_words.lower().split()])
    word_ids = tokenizer.get_vocab()
    return tokenizer, Teacher(word_ids, PAIR_PROMPT, word_ids[END])


class Run:
    """One training run in a folder: model, optimizer, ladders and the step reached."""

    def __init__(self, out: Path, *, seed: int, steps: int, hidden: int, layers: int, state: int) -> None:
        self.out, self.seed, self.steps, self.step = out, seed, steps, 0
        self.tokenizer, self.teacher = make_teacher()
        self.model = new_model(
            len(self.tokenizer), hidden=hidden, layers=layers, state=state, seed=seed, end=self.teacher.end
        )
        attach(self.model)
        self.model.train()
        self.optimizer = make_optimizer(self.model)
        self.ladders = ladders()
        self.tokens = 0
        self.seconds = 0.0

    @property
    def checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def save(self) -> None:
        state = {
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "step": self.step,
            "tokens": self.tokens, "seconds": self.seconds, "seed": self.seed, "steps": self.steps,
            "ladders": {name: (one.rung, one.accuracy, one.updates) for name, one in self.ladders.items()},
        }  # fmt: skip
        self.out.mkdir(parents=True, exist_ok=True)
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)
        self.model.save_pretrained(self.out)
        self.tokenizer.save_pretrained(self.out)

    def resume(self) -> None:
        if not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, weights_only=True)
        if (state["seed"], state["steps"]) != (self.seed, self.steps):
            raise SystemExit(
                f"{self.checkpoint} was made with --seed {state['seed']} --steps {state['steps']}; "
                "use those, or another --out"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.tokens, self.seconds = state["step"], state["tokens"], state["seconds"]
        for name, (rung, accuracy, updates) in state["ladders"].items():
            one = self.ladders[name]
            one.rung, one.accuracy, one.updates = rung, accuracy, updates

    def train_step(self) -> tuple[Ladder, float, float, float]:
        rng = random.Random(stable_seed("tiny", self.seed, self.step))
        if self.step < polish_start(self.steps):
            ladder = choose_ladder(self.ladders, rng)
            writer, climbing = ladder.choose(rng)
        else:
            (ladder, writer), climbing = choose_polish(self.ladders, rng), False
        lessons = write_batch(self.teacher, writer, rng)
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.step, self.steps)
        loss, accuracy, absent = loss_and_accuracy(self.model, lessons, self.teacher)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if climbing and accuracy == accuracy:
            ladder.update(accuracy)
        self.step += 1
        self.tokens += sum(len(lesson.ids) for lesson in lessons)
        return ladder, loss.item(), accuracy, absent


def train(run: Run, *, save_every: int = 200) -> None:
    """Train to the last step, saving on the way, at the end and on Ctrl-C."""
    bar = tqdm(total=run.steps, initial=run.step, unit="step", smoothing=0.05)
    means: dict[str, list[float]] = {}
    try:
        while run.step < run.steps:
            began = time.perf_counter()
            ladder, loss, accuracy, absent = run.train_step()
            run.seconds += time.perf_counter() - began
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
    parser = argparse.ArgumentParser(
        prog="python -m models.tiny.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=9600, help="of about 6,144 tokens (default 9600)")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--state", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/tiny"), help="checkpoints and the model (resumes)"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    run = Run(
        options.out, seed=options.seed, steps=options.steps,
        hidden=options.hidden, layers=options.layers, state=options.state,
    )  # fmt: skip
    run.resume()
    train(run)


if __name__ == "__main__":
    main()
