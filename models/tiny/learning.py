"""What every training of a small reader shares: the loss, the learning rate, one step, the checkpoint.

Which lessons a step reads is the caller's business: a `Course` gives them by the step's number alone, so that a run
that was stopped goes on from its last checkpoint as if it had not been. Learning rate: flat, then a cosine; the last
sixth of the steps polishes with a second, lower cosine. The loss counts answer tokens alone. Exercised by
``python -m models.tiny.train`` and ``python -m models.tiny.capacity``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch.nn import functional as F
from transformers import MambaForCausalLM, PreTrainedTokenizerFast

from models.cpu_mamba import attach

IGNORE = -100
TRACE_SHARE = 0.3
PEAK_RATE, WARM_UP, FLAT, FLOOR = 2.5e-3, 60, 0.4, 0.02
POLISH, POLISH_RATE = 1 / 6, 1e-3


class CheckpointError(ValueError):
    """The folder holds a training with other settings; the message is one line."""


class Lesson(Protocol):
    """`benchmarks.lessons.Lesson`: ids, what to predict after each, its share in the loss, its passage's letter."""

    @property
    def ids(self) -> list[int]: ...
    @property
    def targets(self) -> list[int]: ...
    @property
    def weights(self) -> list[float]: ...
    @property
    def traces(self) -> list[int]: ...


class Teacher(Protocol):
    """The ids that `benchmarks.lessons.Teacher` gives to marks: the end, the no-answer word, the link of two hops."""

    @property
    def end(self) -> int: ...
    @property
    def error(self) -> int: ...
    @property
    def link(self) -> list[int]: ...


class Ladder(Protocol):
    """The part of `benchmarks.curriculum.Ladder` that a checkpoint keeps."""

    name: str
    rung: int
    accuracy: float
    updates: int

    def update(self, accuracy: float) -> None: ...


Course = Callable[[int, bool], tuple[Ladder, bool, Sequence[Lesson]]]
"""From the step's number, and whether it polishes, to its lessons with their ladder, and whether they climb it."""


class Outcome(NamedTuple):
    """One step: accuracies are nan where nothing was asked."""

    ladder: Ladder
    loss: float
    accuracy: float
    absent: float


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
    """AdamW; matrices decay, the states' decay rates (a matrix only by their shape) and small vectors do not."""
    named = [(p, p.ndim == 2 and p.shape[-1] > 16 and "A_log" not in n) for n, p in model.named_parameters()]
    matrices, others = ([p for p, matrix in named if matrix == wanted] for wanted in (True, False))
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.98), fused=True)


class Run:
    """One training run in a folder: model, optimizer, ladders and the step reached.

    `seconds` and `cpu_seconds` count the steps alone, over every start of the run."""

    def __init__(
        self,
        out: Path,
        model: MambaForCausalLM,
        tokenizer: PreTrainedTokenizerFast,
        teacher: Teacher,
        course: Course,
        ladders: Mapping[str, Ladder],
        *,
        seed: int,
        steps: int,
    ) -> None:
        self.out, self.tokenizer, self.teacher = out, tokenizer, teacher
        self.course, self.ladders = course, ladders
        self.seed, self.steps, self.step = seed, steps, 0
        self.model = model
        attach(model)
        model.train()
        self.optimizer = make_optimizer(model)
        self.tokens = 0
        self.seconds = self.cpu_seconds = 0.0

    @property
    def checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def save(self) -> None:
        state = {
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "step": self.step,
            "tokens": self.tokens, "seconds": self.seconds, "cpu_seconds": self.cpu_seconds,
            "seed": self.seed, "steps": self.steps,
            "ladders": {name: (one.rung, one.accuracy, one.updates) for name, one in self.ladders.items()},
        }  # fmt: skip
        self.out.mkdir(parents=True, exist_ok=True)
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)
        self.model.save_pretrained(self.out)
        self.tokenizer.save_pretrained(self.out)

    def resume(self) -> None:
        """Go on from the folder's checkpoint, if it has one; CheckpointError where it was made otherwise."""
        if not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, weights_only=True)
        if (state["seed"], state["steps"]) != (self.seed, self.steps):
            raise CheckpointError(
                f"{self.checkpoint} was made with --seed {state['seed']} --steps {state['steps']}; "
                "use those, or another --out"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.tokens = state["step"], state["tokens"]
        self.seconds, self.cpu_seconds = state["seconds"], state["cpu_seconds"]
        for name, (rung, accuracy, updates) in state["ladders"].items():
            one = self.ladders[name]
            one.rung, one.accuracy, one.updates = rung, accuracy, updates

    def train_step(self) -> Outcome:
        began, cpu_began = time.perf_counter(), time.process_time()
        ladder, climbing, lessons = self.course(self.step, self.step >= polish_start(self.steps))
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
        self.seconds += time.perf_counter() - began
        self.cpu_seconds += time.process_time() - cpu_began
        return Outcome(ladder, loss.item(), accuracy, absent)
