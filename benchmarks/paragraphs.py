"""Questions over paragraphs of Wikipedia: what HotpotQA, MuSiQue and 2WikiMultihopQA share.

A paragraph is shown as a line with its title, then its text; a blank line stands between two. The evidence is
the supporting paragraphs, title line included, so that "evidence recall" of the report is the
supporting-paragraph recall of every method that picks text; `evidence=sentences` marks the supporting
sentences instead, where the data name them. Long versions add paragraphs of other questions, as LongBench
(arXiv:2308.14508) and RULER (arXiv:2404.06654) do. Exercised by
``python run_compare.py --benchmark "hotpotqa:lengths=8k;16k" --data-dir DIR``.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, get_args

from benchmarks.base import CountTokens, Example, Outline, Span, Task, TaskSet, digest, stable_seed
from benchmarks.generated import GeneratedExamples, Sketch
from benchmarks.passages import check_numbers
from benchmarks.sources import DataError, HubRows, Source, distinct, encodable, local_file, read_rows

Evidence = Literal["paragraphs", "sentences"]
AnswerMetric = Literal["f1", "em"]
BREAK = "\n\n"
# The wording of LongBench's three multi-hop tasks; these sets have no official prompt of their own.
ORDER = "Answer the question based on the given passages. Only give me the answer and do not output any other words."
CLAUSE = ' If the passages do not hold the answer, reply with the word "Error".'


@dataclass(frozen=True)
class Paragraph:
    """`support` holds the character spans of the supporting sentences in `text`; `gold` says whether the
    question needs the paragraph."""

    title: str
    text: str
    gold: bool = False
    support: tuple[Span, ...] = ()

    @property
    def shown(self) -> str:
        return f"{self.title}\n{self.text}"


@dataclass(frozen=True)
class Question:
    """One question of a set with its own paragraphs; `kind` is its type of reasoning, as the set names it."""

    id: str
    text: str
    answers: tuple[str, ...]
    kind: str
    paragraphs: tuple[Paragraph, ...]
    tags: Mapping[str, str | int | float] = field(default_factory=dict)

    @property
    def document(self) -> str:
        """The same for every version of the question, and for another one on the same paragraphs."""
        return digest(*sorted(paragraph.shown for paragraph in self.paragraphs))


class RowError(ValueError):
    """A row that is no question; the message says why."""


Rows = Iterable[tuple[str, dict[str, Any]]]


def local_source(data_dir: Path | None, name: str) -> Source | None:
    """``DATA_DIR/multihop/NAME.jsonl``, or ``.json``, the form in which HotpotQA and 2Wiki were released; None
    where neither is there, and `DataError` where both are."""
    if data_dir is None:
        return None
    paths = [data_dir / "multihop" / f"{name}.{ending}" for ending in ("jsonl", "json")]
    there = [path for path in paths if path.is_file()]
    if len(there) > 1:
        raise DataError(f"both {there[0]} and {there[1].name} are there: leave one of them")
    return local_file(there[0]) if there else None


def places(data_dir: Path | None, name: str) -> str:
    """The places where `local_source` looks, for what is said of a set that is read from the hub."""
    return str(data_dir / "multihop" / f"{name}.jsonl or .json") if data_dir else ""


def source_rows(source: Source | HubRows, bad: list[str]) -> Rows:
    """The rows of a file with their places: an object a line, or one list of objects."""
    if isinstance(source, HubRows) or source.path.suffix != ".json":
        return read_rows(source, bad)
    with source.open() as file:
        try:
            rows = json.load(file)
        except (ValueError, RecursionError) as problem:
            raise DataError(f"{source.name} is not a whole JSON file: {problem}") from problem
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{source.name} is no list of objects: expected the released file or a .jsonl")
    return _whole_rows(source.name, rows, bad)


def _whole_rows(
    name: str, rows: Sequence[dict[str, Any]], bad: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, row in enumerate(rows, start=1):
        if encodable(row):
            yield f"{name} row {number}", row
        else:
            bad.append(f"{name} row {number}: holds half a character")


def read_questions(rows: Rows, parse: Callable[[dict[str, Any]], Question], bad: list[str]) -> list[Question]:
    """Every row that `parse` makes a question of. The others are added to `bad` with their place and reason.

    An id that comes twice gets ``-2`` behind it. `DataError` where no row is a question."""
    questions = []
    for place, row in rows:
        try:
            questions.append(parse(row))
        except RowError as problem:
            bad.append(f"{place}: {problem}")
    if not questions:
        first = f" (the first: {bad[0]})" if bad else ""
        raise DataError(f"no row is a question with its paragraphs{first}: expected the set's native format")
    ids = distinct(question.id for question in questions)
    return [replace(question, id=one) for question, one in zip(questions, ids, strict=True)]


def need_text(row: Mapping[str, Any], *fields: str) -> str:
    """The first of the fields that holds text. `RowError` where none does."""
    for name in fields:
        if isinstance(row.get(name), str) and row[name].strip():
            return str(row[name])
    raise RowError(f"has no {' or '.join(fields)}")


def paragraph_task(benchmark: str, metric: AnswerMetric, revision: str) -> Task:
    """The task of one set; `revision` says which data were read. With exact match the task has a name of its
    own, so that no task mixes it with F1. ValueError for another metric."""
    if metric not in get_args(AnswerMetric):
        raise ValueError(f"{benchmark}: metric={metric} is not one of {', '.join(get_args(AnswerMetric))}")
    return Task(
        name=benchmark if metric == "f1" else f"{benchmark}_{metric}",
        before=f"{ORDER}\n\nThe following are given passages.\n",
        after=f"{BREAK}{ORDER}{{clause}}\n\nQuestion: {{question}}\nAnswer:",
        metric=f"{benchmark}_{metric}",
        max_new_tokens=32,
        no_answer_clause=CLAUSE,
        revision=revision,
    )


def paragraph_sets(
    count_tokens: CountTokens,
    benchmark: str,
    source: Source | HubRows,
    parse: Callable[[dict[str, Any]], Question],
    bad: list[str],
    *,
    seed: int,
    lengths: tuple[int, ...],
    samples: int | None,
    evidence: Evidence,
    metric: AnswerMetric,
) -> list[TaskSet]:
    """One task set: the questions as they are (the bucket is their type), or their long versions (the bucket
    is the length in tokens of the whole prompt, which is filled up with whole paragraphs and never exceeded).

    Rows that are no question are added to `bad`. `samples` keeps that many questions for each length, evenly over
    the types. ValueError where a length is too short for a question's own paragraphs, or where the file has too few
    paragraphs to fill it.
    """
    questions = read_questions(source_rows(source, bad), parse, bad)
    task = paragraph_task(benchmark, metric, source.revision)
    if samples is not None:
        check_numbers(f"{benchmark}: samples", (samples,), 1)
    chosen = questions if samples is None else _evenly(questions, samples)
    versions = _Versions(count_tokens, benchmark, task, questions, seed, evidence)
    if lengths:
        check_numbers(f"{benchmark}: lengths", lengths, 1)
        by_size = sorted(chosen, key=lambda one: sum(len(paragraph.text) for paragraph in one.paragraphs))
        # What cannot be is refused before it is asked for: a length too short for the longest question, or one
        # that the file does not fill for the shortest.
        versions.longer(by_size[-1], min(lengths)).make()
        versions.longer(by_size[0], max(lengths)).make()
        sketches = [versions.longer(one, length) for length in lengths for one in chosen]
    else:
        sketches = list(map(versions.own, chosen))
    return [TaskSet(task, GeneratedExamples(sketches), left_out=bad, note=source.note)]


def lay_out(paragraphs: Sequence[Paragraph], evidence: Evidence) -> tuple[str, tuple[Span, ...]]:
    """The paragraphs as one text, and the character spans of its evidence, in order."""
    spans: list[Span] = []
    start = 0
    for paragraph in paragraphs:
        text = start + len(paragraph.title) + 1
        if evidence == "sentences":
            spans += [(text + low, text + high) for low, high in paragraph.support]
        elif paragraph.gold:
            spans.append((start, start + len(paragraph.shown)))
        start += len(paragraph.shown) + len(BREAK)
    return BREAK.join(paragraph.shown for paragraph in paragraphs), tuple(spans)


def join_sentences(sentences: Sequence[str]) -> tuple[str, list[Span]]:
    """Sentences as one text, and the span of each without the white space around it; a blank is put between
    two that have none (HotpotQA's sentences begin with theirs, 2Wiki's do not)."""
    text, spans = "", []
    for sentence in sentences:
        words = sentence.strip()
        text += " " if text and words else ""
        spans.append((len(text), len(text) + len(words)))
        text += words
    return text, spans


def supported(row: Mapping[str, Any]) -> tuple[Paragraph, ...]:
    """The paragraphs of a row in HotpotQA's form, which is 2Wiki's too: `context` has titles with sentences,
    `supporting_facts` the title and sentence number of the supporting ones. Both are lists of pairs, as
    released, or a dict of two lists, as on the hub. A few published facts name a sentence that is not there:
    only their paragraph counts. `RowError` where there is no context."""
    context, facts = _pairs(row.get("context"), "sentences"), _pairs(row.get("supporting_facts"), "sent_id")
    if not context:
        raise RowError("has no context")
    numbers = defaultdict(set)
    for title, number in facts:
        if not isinstance(number, int):
            raise RowError(
                f"has {str(number)[:40]!r} among its supporting_facts where a sentence's number was expected"
            )
        numbers[title].add(number)
    paragraphs = []
    for title, sentences in context:
        if not isinstance(sentences, list) or not all(isinstance(sentence, str) for sentence in sentences):
            raise RowError(f"has a context whose paragraph {title!r} is no list of sentences")
        text, spans = join_sentences(sentences)
        found = [spans[n] for n in sorted(numbers.get(title, ())) if 0 <= n < len(spans)]
        support = tuple(span for span in found if span[0] < span[1])
        paragraphs.append(Paragraph(title, text, title in numbers, support))
    return tuple(paragraphs)


def _pairs(value: Any, second: str) -> list[tuple[str, Any]]:
    """Pairs that begin with a title, from a list of pairs or from ``{"title": [...], second: [...]}``."""
    if isinstance(value, dict):
        titles, others = value.get("title"), value.get(second)
        if not isinstance(titles, list) or not isinstance(others, list) or len(titles) != len(others):
            raise RowError(f"has title and {second} lists that do not go together")
        value = list(zip(titles, others, strict=True))
    if not isinstance(value, list | None):
        raise RowError(f"has {type(value).__name__} where a list of titles and {second} was expected")
    if any(not isinstance(pair, list | tuple) or len(pair) != 2 for pair in value or ()):
        raise RowError(f"has something else than pairs of title and {second}")
    return [(str(title), other) for title, other in value or ()]


def _evenly(questions: Sequence[Question], samples: int) -> list[Question]:
    """In turn from every type, in the order of the ids' digests, so that more samples are a superset."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for one in sorted(questions, key=lambda one: digest(one.id)):
        by_kind[one.kind].append(one.id)
    turns = sorted((turn, kind, one) for kind, ids in by_kind.items() for turn, one in enumerate(ids))
    kept = {one for _, _, one in turns[:samples]}
    return [one for one in questions if one.id in kept]


@dataclass
class _Versions:
    """Builds the questions' own and long versions; remembers the tokens of every paragraph."""

    count_tokens: CountTokens
    benchmark: str
    task: Task
    questions: Sequence[Question]
    seed: int
    evidence: Evidence
    costs: dict[str, int] = field(default_factory=dict)

    @cached_property
    def filler(self) -> list[Paragraph]:
        pool = {paragraph.title: paragraph for one in self.questions for paragraph in one.paragraphs}
        return [replace(paragraph, gold=False, support=()) for paragraph in pool.values()]

    def own(self, question: Question) -> Sketch:
        """The question with its own paragraphs; only their tokens are counted late."""
        outline = Outline(question.id, question.kind, question.answers, question.document)
        return Sketch(outline, partial(self._example, outline, question, question.paragraphs))

    def longer(self, question: Question, length: int) -> Sketch:
        outline = Outline(f"{question.id}-{length}", str(length), question.answers, question.document)
        return Sketch(outline, partial(self._longer, outline, question, length))

    def _example(self, outline: Outline, question: Question, paragraphs: Sequence[Paragraph]) -> Example:
        context, spans = lay_out(paragraphs, self.evidence)
        golden = sum(paragraph.gold for paragraph in paragraphs)
        counts = {"paragraphs": len(paragraphs), "gold_paragraphs": golden}
        return Example(
            id=outline.id,
            context=context,
            question=question.text,
            answers=question.answers,
            length=self.count_tokens(self.task.prompt(context, question.text)),
            bucket=outline.bucket,
            evidence=spans,
            cluster=outline.document,
            tags={"type": question.kind, **counts, **question.tags},
        )

    def _longer(self, outline: Outline, question: Question, length: int) -> Example:
        """The question's own paragraphs and as many others as fit, in one random order.

        The others come in an order of the question's own, so that a longer version holds those of a shorter
        one; none has the title of a paragraph that is there (a gold title least of all).
        """
        own = {paragraph.title for paragraph in question.paragraphs}
        others = [paragraph for paragraph in self.filler if paragraph.title not in own]
        random.Random(stable_seed(self.benchmark, self.seed, question.id)).shuffle(others)
        room = length - self._tokens(question, question.paragraphs)
        if room < 0:
            raise ValueError(
                f"{self.benchmark}: question {question.id} has {length - room} tokens with its own paragraphs "
                f"alone, more than lengths={length}: ask for longer ones"
            )
        added: list[Paragraph] = []
        while len(added) < len(others) and (cost := self._cost(others[len(added)])) <= room:
            added.append(others[len(added)])
            room -= cost
        if len(added) == len(others):
            raise ValueError(
                f"{self.benchmark}: the file's {len(self.filler)} paragraphs do not fill lengths={length} for "
                f"question {question.id} ({room} tokens are left): ask for shorter ones or read a larger file"
            )
        paragraphs = self._shuffled(question, added, length)
        # The costs are an estimate: tokens merge at borders.
        while self._tokens(question, paragraphs) > length:
            added.pop()
            paragraphs = self._shuffled(question, added, length)
        return self._example(outline, question, paragraphs)

    def _shuffled(self, question: Question, added: list[Paragraph], length: int) -> list[Paragraph]:
        rng = random.Random(stable_seed("order", self.benchmark, self.seed, question.id, length))
        return rng.sample([*question.paragraphs, *added], len(question.paragraphs) + len(added))

    def _tokens(self, question: Question, paragraphs: Sequence[Paragraph]) -> int:
        return self.count_tokens(self.task.prompt(lay_out(paragraphs, "paragraphs")[0], question.text))

    def _cost(self, paragraph: Paragraph) -> int:
        text = BREAK + paragraph.shown
        if text not in self.costs:
            self.costs[text] = self.count_tokens(text)
        return self.costs[text]
