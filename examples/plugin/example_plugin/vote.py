"""Majority vote: every chunk of the context answers, and the answer that most chunks give wins.

Exercised by ``python run_compare.py --method vote:chunk_size=250 --benchmark recall``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any


class Vote:
    """`chunk_size` is in the reader's tokens; None is the reader's own. Chunks that have no answer (the reader's
    no-answer word) do not vote; on a tie the earliest answer wins."""

    def __init__(self, engine: Any, *, chunk_size: int | None = None) -> None:
        self.engine = engine
        self.chunk_size = engine.spec.chunk_size if chunk_size is None else chunk_size
        if self.chunk_size < 1:
            raise ValueError(f"chunk_size={chunk_size} is too small: expected at least 1 token")

    def answer(self, context: str, question: str, *, task: Any = None) -> str:
        """One prompt a chunk, in the wording of the task where there is one."""
        said = [self._ask(piece, question, task) for piece in self._pieces(context)]
        votes = Counter(text for text in said if text and text != self.engine.spec.no_answer)
        return votes.most_common(1)[0][0] if votes else said[0]

    def _pieces(self, context: str) -> Iterator[str]:
        spans = list(self.engine.offsets(context)) or [(0, len(context))]
        for first in range(0, len(spans), self.chunk_size):
            last = min(first + self.chunk_size, len(spans)) - 1
            yield context[spans[first][0] : spans[last][1]]

    def _ask(self, piece: str, question: str, task: Any) -> str:
        if task is None:
            prompt = self.engine.encode(f"{piece}\n\nQuestion: {question} Answer:")
            return self.engine.generate(prompt, 32, stop=("\n",)).strip()
        prompt = self.engine.encode(task.prompt(piece, question, clause=True), chat=task.chat)
        return self.engine.generate(prompt, task.max_new_tokens, stop=task.stop).strip()
