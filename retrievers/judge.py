"""The reader as a judge: the log-probabilities of two labels as the next token of a prompt.

A chat model is asked in one user turn and its answer begun with "Passage", so that a label is what comes next
(as in llm-rankers); any other model goes on after the prompt. The labels' ids are found by encoding a text with
and without the label, because tokenizers differ in how they cut " A".
Exercised by ``--method rag:retriever=prp``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from models.specs import ReaderError

if TYPE_CHECKING:
    from models.engine import Engine

LABELS = ("A", "B")
CHAT_CUE = "Passage"


class Reply(NamedTuple):
    """The judge's answer to one prompt: log p(A) - log p(B), in nats, and whether its likeliest next token
    begins neither label."""

    gap: float
    invalid: bool


class Judge:
    """`labels` are the ids of both, `ends` what they begin with, their last ids left out; `cue` are the ids
    that begin a chat model's answer."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.chat = bool(engine.tokenizer.chat_template)
        before = f"Answer:\n{CHAT_CUE}" if self.chat else "Answer:"
        self.cue = added_ids(engine, "Answer:\n", CHAT_CUE) if self.chat else []
        self.labels = [added_ids(engine, before, f" {label}") for label in LABELS]
        if self.labels[0] == self.labels[1]:
            raise ReaderError(
                f"the tokenizer of {engine.spec.name} writes A and B alike: it cannot judge pairs"
            )
        self.ends = list(dict.fromkeys(tuple(label[:-1]) for label in self.labels))

    def rows(self, prompt: str) -> list[list[int]]:
        """What is read for one prompt: a row for each of `ends`, of which there is one where every label is a
        token."""
        asked = [*self.engine.encode(prompt, chat=self.chat), *self.cue]
        return [[*asked, *end] for end in self.ends]

    def replies(self, prompts: Sequence[str]) -> tuple[list[Reply], int]:
        """The replies to the prompts, read in pad-free batches, and the tokens that were read.

        A label of several tokens is scored by the sum over them, in a row of its own."""
        ends, rows = self.ends, [row for prompt in prompts for row in self.rows(prompt)]
        log_p: list[list[float]] = [[0.0, 0.0] for _ in prompts]
        valid = [False] * len(prompts)
        for positions, prefill in self.engine.prefill_batches(rows, last=1 + max(map(len, ends))):
            for row, position in enumerate(positions):
                prompt, end = position // len(ends), ends[position % len(ends)]
                logits = prefill.logits[row, -1 - len(end) :].log_softmax(-1)
                valid[prompt] = int(logits[0].argmax()) in {label[0] for label in self.labels}
                for which, label in enumerate(self.labels):
                    if tuple(label[:-1]) == end:
                        log_p[prompt][which] = float(logits[list(range(len(label))), label].sum())
            del prefill  # or the batch's states would live on while the next one is read
        replies = [Reply(a - b, not ok) for (a, b), ok in zip(log_p, valid, strict=True)]
        return replies, sum(map(len, rows))


def added_ids(engine: Engine, before: str, text: str) -> list[int]:
    """The ids that `text` adds after `before`; ReaderError where they cannot be told apart from it."""
    head, whole = engine.encode(before), engine.encode(before + text)
    if whole[: len(head)] != head or len(whole) == len(head):
        raise ReaderError(
            f"the tokenizer of {engine.spec.name} joins {text!r} to what stands before it: it cannot judge pairs"
        )
    return whole[len(head) :]
