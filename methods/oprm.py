"""OPRM, overflow prevention for recurrent models (Ben-Kish et al. 2025, arXiv 2505.07793).

A recurrent reader's state is of fixed size and overflows with facts. OPRM gives every chunk of the context a
state of its own: the chunks, each in the whole prompt, are read as a batch; the rows whose next token would
be the no-answer word are dropped (the IDK filter); the answer is decoded from the row with the lowest entropy
of its next token, ``-sum p log2 p`` (the slides' formula lost its minus sign), or from the one under which
the question's own tokens are most likely. Left open by the paper and decided here: ties go to the earlier
chunk; where all rows are filtered, entropy decides among all of them; a single chunk is answered from without
a choice. The last two are flagged. Some tasks have no one best chunk, and the paper answers them in its own way,
in either profile (`Task.gather`): a summary is decoded from every chunk and the outputs are joined by
newlines, a line of code that goes on from the last chunk's length of tokens alone.
Exercised by ``--method oprm`` and ``--method "oprm:candidates=bm25,m=8,idk_filter=false"``.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from benchmarks.base import PLAIN_QA, Task
from methods.base import (
    Answer,
    Clause,
    check_chunks,
    chunk_details,
    chunk_sizes,
    decode_each,
    fit,
    generate,
    ranking_details,
    require_question,
    require_question_last,
    retrieve,
    split_context,
)
from retrievers import build
from retrievers.base import RECORDED, Ranker, check_choice, log_probabilities, shared_prefix, weights_of
from retrievers.chunking import Boundary, Chunk, cut_places, join

if TYPE_CHECKING:
    from models.engine import Engine, Prefill

Select = Literal["entropy", "query_likelihood"]
OnAllFiltered = Literal["entropy", "abstain"]
Profile = Literal["fair", "paper"]


class Mark(NamedTuple):
    """What a row is chosen by. Marks compare: filtered rows last, then the lower cost (bits of entropy, or
    minus the question's log-likelihood in nats), then the earlier chunk."""

    filtered: bool
    cost: float
    chunk: int
    entropy: float


class Marks:
    """What is kept of the rows' marks while they are read, which does not grow with their number: the `top` best,
    those of the `recorded` chunks, and counts."""

    def __init__(self, top: int, recorded: Sequence[int]) -> None:
        self.best: list[Mark] = []
        self.recorded: list[Mark] = []
        self.count = self.filtered = 0
        self._top, self._recorded = top, recorded

    def add(self, marks: Sequence[Mark]) -> None:
        self.best = sorted([*self.best, *marks])[: self._top]
        self.recorded += [mark for mark in marks if mark.chunk in self._recorded]
        self.count += len(marks)
        self.filtered += sum(mark.filtered for mark in marks)

    @property
    def all_filtered(self) -> bool:
        return self.filtered == self.count

    @property
    def picked(self) -> list[int]:
        """The chunks to answer from, the best first: filtered ones only where all are."""
        return [mark.chunk for mark in self.best if mark.filtered == self.all_filtered]


@dataclass(frozen=True)
class OPRM:
    """`select` names the criterion and `idk_filter` turns the filter off; `on_all_filtered=abstain` answers
    with the no-answer word. `candidates` is a ranker's SPEC that leaves `m` chunks to be read; with `top`
    above 1 the best chunks are joined and read once more, for facts that lie in several. The rows carry the
    task's no-answer clause unless `clause=none`. `profile=paper` goes with the benchmarks' paper wording: the
    filter and the clause are off for the reader that the paper turns them off for (Falcon3)."""

    engine: Engine
    _: KW_ONLY
    chunk_size: int | None = None
    overlap: int | None = None
    boundary: Boundary = "token"
    select: Select = "entropy"
    idk_filter: bool = True
    on_all_filtered: OnAllFiltered = "entropy"
    candidates: str | Ranker | None = None
    m: int = 8
    top: int = 1
    clause: Clause = "oprm"
    profile: Profile = "fair"
    ranker: Ranker | None = field(init=False, default=None)
    no_answer_ids: frozenset[int] = field(init=False, default=frozenset())

    def __post_init__(self) -> None:
        check_choice("select", self.select, Select)
        check_choice("on_all_filtered", self.on_all_filtered, OnAllFiltered)
        check_choice("clause", self.clause, Clause)
        check_choice("profile", self.profile, Profile)
        check_chunks(self.engine, self.chunk_size, self.overlap)
        for option in ("m", "top"):
            if getattr(self, option) < 1:
                raise ValueError(f"{option}={getattr(self, option)} is too small: expected at least 1 chunk")
        if self.candidates is None and self.m != 8:
            raise ValueError(
                f"m={self.m} says how many candidates are read: give candidates=RANKER beside it"
            )
        if self.candidates is not None:
            object.__setattr__(self, "ranker", build(self.candidates, self.engine))
        if self.idk_filter and self._says_unknown:
            object.__setattr__(self, "no_answer_ids", _no_answer_ids(self.engine))

    @property
    def weights(self) -> dict[str, str]:
        """The weights of the candidates' ranker."""
        return weights_of(self.ranker)

    def answer(self, context: str, question: str, *, task: Task = PLAIN_QA) -> Answer:
        """Reads every chunk once and keeps one state; memory does not grow with the number of chunks.

        Undefined where the criterion or the candidates need a question and the task has none, or has it
        before the context."""
        if task.gather == "last":
            return self._from_the_end(context, question, task)
        if task.gather == "each":
            return self._from_each(context, question, task)
        if self.select == "query_likelihood":
            require_question(task, question)
            require_question_last(task)
        chunks = split_context(self.engine, context, self.chunk_size, self.overlap, self.boundary)
        read, flags, values = self._candidates(chunks, question, task)
        cuts: list[bool] = []
        before, after = task.wrap(question, clause=self._carries_clause)

        def rows() -> Iterator[Sequence[int]]:
            """Encoded as they are read: a long book's ids would take more than a small reader's states."""
            for i in read:
                ids, cut = fit(self.engine, task, before + chunks[i].text + after)
                cuts.append(cut)
                yield array("i", ids)  # a list takes nine times the memory while it waits for its batch

        marks, state = self._read(read, rows(), self._question_place(chunks[read[0]], question, task))
        details = self._details(chunks, marks, flags, values)
        truncated = any(cuts)
        if marks.all_filtered and self.on_all_filtered == "abstain":
            return Answer(self.engine.spec.no_answer, (), details | {"picked": []}, truncated)
        text, spans = join(context, [chunks[i] for i in sorted(marks.picked)])
        if state is None:
            answer = generate(self.engine, task, text, question, clause=self._carries_clause)
            return replace(answer, spans=spans, details=details, truncated=truncated or answer.truncated)
        output = self.engine.decode(state, task.max_new_tokens, stop=task.stop)
        if state.again:
            details["flags"].append("prefill_again")
        return Answer(output, spans, details, truncated)

    @property
    def _says_unknown(self) -> bool:
        """Whether the profile lets this reader say that the answer is not there."""
        return self.profile == "fair" or self.engine.spec.idk_filter

    @property
    def _carries_clause(self) -> bool:
        return self.clause != "none" and self._says_unknown

    def _from_each(self, context: str, question: str, task: Task) -> Answer:
        """Every chunk's own output, in the order of the chunks; nothing is selected or filtered."""
        chunks = split_context(self.engine, context, self.chunk_size, self.overlap, self.boundary)
        prompts = (self._prompt(chunk.text, question, task) for chunk in chunks)
        texts, cut = decode_each(self.engine, task, prompts)
        details = chunk_details(chunks, range(len(chunks)), "each_chunk")
        end = "\n" if self.profile == "paper" else ""  # as in the paper's script; ROUGE counts it
        return Answer("\n".join(texts) + end, None, details, cut)

    def _from_the_end(self, context: str, question: str, task: Task) -> Answer:
        """One prompt around the last chunk's length of tokens."""
        size, _ = chunk_sizes(self.engine, self.chunk_size, self.overlap)
        with self.engine.phase("split"):
            latest = deque(cut_places(context, self.engine.offsets(context)), maxlen=size + 1)
        total, _ = latest[-1]
        first, start = next(cut for cut in latest if cut[0] >= total - size)
        answer = generate(self.engine, task, context[start:], question, clause=self._carries_clause)
        details = {"tokens": total, "kept": total - first, "flags": ["last_tokens"]}
        return replace(answer, spans=((start, len(context)),), details=details)

    def _candidates(
        self, chunks: Sequence[Chunk], question: str, task: Task
    ) -> tuple[Sequence[int], list[str], dict[str, Any]]:
        """The chunks to read, in document order, and the details of the ranking that they come from."""
        if self.ranker is None:
            return range(len(chunks)), [], {}
        ranking = retrieve(self.engine, self.ranker, task, question, chunks)
        read = sorted(ranking.order[: self.m])
        return read, *ranking_details(ranking, len(read))

    def _prompt(self, text: str, question: str, task: Task) -> str:
        return task.prompt(text, question, clause=self._carries_clause)

    def _read(
        self, read: Sequence[int], rows: Iterable[Sequence[int]], place: slice
    ) -> tuple[Marks, Prefill | None]:
        """The rows' marks, and the state of the one that is picked (none of several, which are read again)."""
        marks = Marks(self.top, read[:RECORDED])
        state: Prefill | None = None
        last = 1 - place.start  # the logits of a position are those of the token after it
        for positions, prefill in self.engine.prefill_batches(rows, last=last):
            found = self._marks([read[position] for position in positions], prefill, place, len(read) > 1)
            marks.add(found)
            if marks.best[0] in found:
                state = None  # or two kept states would be there at once
                state = self.engine.select(prefill, found.index(marks.best[0]))
            del prefill  # or the batch's states would live on while the next batch is read
        return marks, state if len(marks.picked) == 1 else None

    def _marks(self, chunks: Sequence[int], prefill: Prefill, place: slice, choosing: bool) -> list[Mark]:
        """One for every row of a micro-batch."""
        next_tokens = prefill.logits[:, -1]
        firsts, bits = next_tokens.argmax(-1).tolist(), entropies(next_tokens)
        filtered = [choosing and first in self.no_answer_ids for first in firsts]
        costs = bits
        if self.select == "query_likelihood":
            rows = zip(prefill.rows, prefill.logits, strict=True)
            costs = [-float(log_probabilities(ids[place], logits).sum()) for ids, logits in rows]
        return [Mark(*values) for values in zip(filtered, costs, chunks, bits, strict=True)]

    def _question_place(self, chunk: Chunk, question: str, task: Task) -> slice:
        """Where the question's tokens are in every row, counted from its end; no place if entropy selects.

        Prompts are encoded whole, so the place is found by comparison with the prompt of another question,
        which begins and ends differently."""
        if self.select == "entropy":
            return slice(0, 0)
        other = next(sign for sign in "#@~" if sign not in (question.strip()[0], question.strip()[-1]))
        ids, others = (
            self.engine.encode(self._prompt(chunk.text, asked, task), chat=task.chat)
            for asked in (question, other)
        )
        start, after = shared_prefix(ids, others), shared_prefix(ids[::-1], others[::-1])
        return slice(max(start, 1) - len(ids), -after or None)  # the first token of a row has no probability

    def _details(
        self, chunks: Sequence[Chunk], marks: Marks, flags: Sequence[str], values: dict[str, Any]
    ) -> dict[str, Any]:
        """Numbers are listed in the order of the chunks that were read, the first `RECORDED` of them; the
        candidates' ranker adds its own flags."""
        by_chunk = sorted(marks.recorded, key=lambda mark: mark.chunk)
        single = "single_chunk" if marks.count == 1 else ""
        lost = "all_filtered" if marks.all_filtered else ""
        details = chunk_details(chunks, marks.picked, *dict.fromkeys([single, lost, *flags])) | values
        details["filtered"] = marks.filtered
        details["entropies"] = [round(mark.entropy, 4) for mark in by_chunk]
        if self.select == "query_likelihood":
            details["likelihoods"] = [round(-mark.cost, 4) for mark in by_chunk]
        if self.ranker is not None:
            details["candidates"] = [mark.chunk for mark in by_chunk]
        return details


def entropies(logits: Any) -> list[float]:
    """Entropy in bits of the softmax over each row of `logits` [rows, vocabulary]; a token of no probability
    adds nothing."""
    log_p = logits.log_softmax(-1)
    nats = -(log_p.exp() * log_p.clamp_min(-1e4)).sum(-1)
    return [value / math.log(2) for value in nats.tolist()]


def _no_answer_ids(engine: Engine) -> frozenset[int]:
    word = engine.spec.no_answer
    if not word.strip():
        raise ValueError(
            f"the reader {engine.spec.name} has no no-answer word, which the IDK filter looks for: "
            "set one in models/specs.py or idk_filter=false"
        )
    return engine.first_ids(word)
