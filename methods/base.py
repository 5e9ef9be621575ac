"""The contract of a method, and the few lines that every method shares.

A method is built by ``factory(engine, **options)`` and answers with ``answer(context, question)``. The runner
passes ``task=`` if the signature takes it, so that a method can wrap its own chunks in the benchmark's
wording. A signature that takes ``example`` sees the answer key: such a method is a control, and so is one
that says so (``control = True``); a control is marked in every table and tested in none. A plugin need not
import this file: a bare string is an answer too. Nobody asks two methods of one engine at the same time.

A built-in method checks its options, which may take `engine.spec`, before it looks at anything else of the engine and
before it imports torch: a plan builds it on a reader that has nothing else, to refuse values before weights are read.

What a record's details hold is the same for every method that reads chunks: `chunks` (how many there were),
`picked` (the positions of those that were read for the answer) and `flags` (the names of what was unusual).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from benchmarks.base import PLAIN_QA, Span, Task
from retrievers.base import Ranker, Ranking, shared_prefix
from retrievers.chunking import Boundary, Chunk, check_sizes, split

if TYPE_CHECKING:
    from models.engine import Engine

Clause = Literal["oprm", "all", "none"]
"""Whose prompts carry the task's no-answer clause: OPRM's rows alone, every method's, nobody's."""


class Undefined(Exception):
    """The method is not defined for this example (an oracle without evidence): counted, never scored."""


@dataclass(frozen=True)
class Answer:
    """`text` is scored; `spans` are the characters of the context that were read, where a method picks some;
    `details` must serialise to JSON and stay small; `truncated` says that part of the context was cut away
    because the reader's window is too short."""

    text: str
    spans: tuple[Span, ...] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    truncated: bool = False


class Method(Protocol):
    """What the runner calls; see the module's docstring for what else a signature may take."""

    def answer(self, context: str, question: str, *, task: Task = PLAIN_QA) -> Answer | str: ...


def generate(engine: Engine, task: Task, context: str, question: str, *, clause: bool = False) -> Answer:
    """Read one prompt and decode greedily under the task's limits."""
    ids, cut = fit(engine, task, task.prompt(context, question, clause=clause))
    return Answer(engine.generate(ids, task.max_new_tokens, stop=task.stop), truncated=cut)


def decode_each(engine: Engine, task: Task, prompts: Iterable[str]) -> tuple[list[str], bool]:
    """An answer decoded from every prompt, read in micro-batches of which one is alive at a time, and whether a
    prompt was cut to `fit`."""
    fitted = [fit(engine, task, prompt) for prompt in prompts]
    texts = [""] * len(fitted)
    for positions, prefill in engine.prefill_batches(ids for ids, _ in fitted):
        for row, position in enumerate(positions):
            state = engine.select(prefill, row)
            texts[position] = engine.decode(state, task.max_new_tokens, stop=task.stop)
        del prefill  # or the batch's states would live on while the next batch is read
    return texts, any(cut for _, cut in fitted)


def fit(engine: Engine, task: Task, prompt: str) -> tuple[list[int], bool]:
    """The prompt's ids, with room for the answer in the reader's window, and whether that took a cut.

    The cut is LongBench's (Bai et al. 2024): the first and the last half of the plain prompt's ids that fit,
    decoded, joined, and only then wrapped. Readers without positions have no window and are never cut.
    The answer's room is at most half of the window: a task may allow longer ones than the reader can read.
    ValueError for a window that no prompt fits in."""
    ids = engine.encode(prompt, chat=task.chat)
    if engine.window is None:
        return ids, False
    answer = min(task.max_new_tokens, engine.window // 2)
    room = engine.window - answer
    if len(ids) <= room:
        return ids, False
    plain = engine.encode(prompt)
    half = (room - (len(ids) - len(plain))) // 2
    while half > 0:
        shorter = engine.text(plain[:half]) + engine.text(plain[-half:])
        ids = engine.encode(shorter, chat=task.chat)
        if len(ids) <= room:
            return ids, True
        half -= (len(ids) - room + 1) // 2  # decoded and encoded again, the halves can come out longer
    raise ValueError(
        f"the reader's window of {engine.window} tokens has no room for a prompt beside {answer} new tokens: "
        "expected a reader with a longer window"
    )


def require_reach(engine: Engine, method: str, shortest: int, remedy: str) -> None:
    """ValueError where the reader's window has no room for a prompt of `shortest` tokens, the first length that
    `method` changes, and an answer of one."""
    if engine.window is not None and engine.window <= shortest:
        raise ValueError(
            f"{method} changes prompts of {shortest:,} tokens and more, and {engine.spec.name} reads "
            f"{engine.window:,} at most, so that every answer would be that of full: {remedy}"
        )


def require_delta(model: Any) -> None:
    """ReaderError for a reader without time steps, before it reads."""
    from models.delta import mixers

    mixers(model)


def tail_tokens(engine: Engine, task: Task, context: str, question: str, *, clause: bool = False) -> int:
    """How many tokens of the prompt follow the context: question, answer cue and what closes the chat turn.

    A token that the context shares with them is the context's; at least 1."""
    other = next(sign for sign in "#@" if not context.endswith(sign))
    ids, others = (
        engine.encode(task.prompt(text, question, clause=clause), chat=task.chat)[::-1]
        for text in (context, other)
    )
    return max(1, shared_prefix(ids, others))


def chunk_sizes(engine: Engine, size: int | None, overlap: int | None) -> tuple[int, int]:
    """Size and overlap of the chunks in tokens. None means the reader's own, of the overlap as much as a chunk
    of another size can share."""
    size = engine.spec.chunk_size if size is None else size
    return size, min(engine.spec.overlap, size - 1) if overlap is None else overlap


def check_chunks(engine: Engine, size: int | None, overlap: int | None) -> None:
    """ValueError for chunks that no context can be cut into."""
    check_sizes(*chunk_sizes(engine, size, overlap))


def split_context(
    engine: Engine, context: str, size: int | None, overlap: int | None, boundary: Boundary
) -> Sequence[Chunk]:
    """The context's chunks, the same for every method, of `chunk_sizes`.

    A context without tokens is one empty chunk, so that every method answers from it as from any other."""
    size, overlap = chunk_sizes(engine, size, overlap)
    with engine.phase("split"):
        chunks = split(context, engine.offsets(context), size, overlap=overlap, boundary=boundary)
    return chunks or [Chunk(0, len(context), context, 0)]


def require_question_last(task: Task) -> None:
    """Undefined unless the question stands behind the context, and there alone: how likely it is says nothing
    about a context that comes after it, nor once it has been read already."""
    if "{question}" in task.before or "{question}" not in task.after:
        raise Undefined(
            f"the likelihood of the question is not defined for task {task.name}: its wording does not put the "
            "question behind the context alone"
        )


def require_question(task: Task, question: str) -> None:
    """Undefined where the task has no question to choose text by (a summary, a few-shot block)."""
    if not task.retrievable or not question.strip():
        raise Undefined(f"choosing by the question is not defined for task {task.name}: it has none")


def retrieve(engine: Engine, ranker: Ranker, task: Task, question: str, chunks: Sequence[Chunk]) -> Ranking:
    """The ranker's order, costed as "retrieve"; a single chunk is not ranked, and flagged.

    Undefined where there is no question to rank by."""
    require_question(task, question)
    if len(chunks) == 1:
        return Ranking([0], [0.0], {"single_chunk": True})
    with engine.phase("retrieve"):
        return ranker.rank(question, chunks)


def chunk_details(chunks: Sequence[Chunk], picked: Sequence[int], *flags: str) -> dict[str, Any]:
    """The details that every method over chunks records; `flags` that are empty are left out."""
    flags += ("empty_context" if chunks[0].tokens == 0 else "",)
    return {"chunks": len(chunks), "picked": list(picked), "flags": [flag for flag in flags if flag]}


def ranking_details(ranking: Ranking, places: int) -> tuple[list[str], dict[str, Any]]:
    """What a record keeps of a ranking whose first `places` are taken: the names of its flags that are true, and
    the other values; `unsettled_places` where that is a choice among more than the ranker has settled (one from
    a plugin need not say)."""
    settled = getattr(ranking, "settled", None)
    unsettled = settled is not None and settled < places < len(ranking.order)
    flags = {**ranking.flags, "unsettled_places": unsettled}
    names = [name for name, value in flags.items() if value is True]
    return names, {name: value for name, value in flags.items() if not isinstance(value, bool)}
