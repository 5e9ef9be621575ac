"""Six thousand random bad rows, read by every loader that reads files: an example, or left out in one line.

They are read as files, so that what is counted is what a comparison would be made of; the cases come from a seed.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pytest
from refusals import refusal

from benchmarks.base import TaskSet, stable_seed
from comparison import grid
from comparison.folder import example_row
from comparison.imports import pair
from comparison.plan import resolve

ROWS = 6000
PAIRS = [["Alden", ["Alden works in banking. ", "He is old."]], ["Rupert", ["Rupert works in music."]]]
PARAGRAPH = {"idx": 0, "title": "Alden", "paragraph_text": "Alden works in banking.", "is_supporting": True}
LONG = {
    "input": "Who?",
    "context": "Alden works in banking.",
    "answers": ["Alden"],
    "length": 5,
    "language": "en",
}
LONG |= {"all_classes": ["Alden", "Rupert"], "_id": "1", "dataset": "x"}
BOOK = {
    "id": 1,
    "context": "Alden works in banking.",
    "input": "Who?",
    "answer": ["Alden"],
    "options": list("abcd"),
}
CHOICE = {f"choice_{letter}": letter for letter in "ABCD"} | {"_id": "1", "domain": "d", "sub_domain": "s"}
CHOICE |= {
    "difficulty": "easy",
    "length": "short",
    "question": "Who?",
    "answer": "A",
    "context": "Alden works.",
}
HOPS = {
    "_id": "1",
    "question": "Who?",
    "answer": "Alden",
    "type": "bridge",
    "level": "easy",
    "answer_id": "Q1",
}
HOPS |= {"context": PAIRS, "supporting_facts": [["Alden", 0], ["Rupert", 9]]}
MUSIQUE = {
    "id": "2hop__1_2",
    "question": "Who?",
    "answer": "Alden",
    "answer_aliases": ["A."],
    "answerable": True,
}
MUSIQUE |= {"paragraphs": [PARAGRAPH, {**PARAGRAPH, "is_supporting": False}]}
LOADERS: Mapping[str, tuple[str, Mapping[str, Any], str]] = {
    "longbench:tasks=hotpotqa": ("longbench/hotpotqa.jsonl", LONG, "lines"),
    "longbench_e:tasks=trec": ("longbench/trec_e.jsonl", LONG, "lines"),
    "longbench_v2": ("longbench_v2/data.json", CHOICE, "array"),
    "infinitebench:tasks=longbook_qa_eng": ("infinitebench/longbook_qa_eng.jsonl", BOOK, "lines"),
    "infinitebench:tasks=longbook_choice_eng": (
        "infinitebench/longbook_choice_eng.jsonl",
        {**BOOK, "answer": ["a"]},
        "lines",
    ),
    "infinitebench:tasks=math_find": (
        "infinitebench/math_find.jsonl",
        {**BOOK, "answer": 3, "input": "The largest number of the list is"},
        "lines",
    ),
    "infinitebench:tasks=code_run": (
        "infinitebench/code_run.jsonl",
        {**BOOK, "answer": 3, "input": "Please give me the exact number of the return value of func_1(2)."},
        "lines",
    ),
    "hotpotqa": ("multihop/hotpotqa.jsonl", HOPS, "lines"),
    "hotpotqa:evidence=sentences": ("multihop/hotpotqa.json", HOPS, "array"),
    "musique": ("multihop/musique.jsonl", MUSIQUE, "lines"),
    "2wikimqa": ("multihop/2wikimqa.jsonl", HOPS, "lines"),
    "2wikimqa:evidence=sentences": ("multihop/2wikimqa.json", HOPS, "array"),
}
PER_LOADER = ROWS // (len(LOADERS) + 1)
BATCH = 40


def deep(depth: int) -> Any:
    value: Any = "x"
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


JUNK = (
    *(
        None,
        True,
        False,
        0,
        -1,
        10**400,
        1.5,
        float("nan"),
        float("inf"),
        "",
        " ",
        "\n",
        "x" * 3000,
        "\ud800",
        "a\udfffb",
    ),
    *(
        "\x00",
        "\x1b[2J",
        "😀",
        "\u202e",
        "../../x",
        "=1+1",
        "<script>",
        "{question}",
        "{clause}",
        "{",
        "2hop",
        "A",
    ),
    *(
        [],
        [[]],
        [None],
        [1, 2],
        {},
        {"title": []},
        {"title": ["a"], "sentences": ["b"], "sent_id": ["x"]},
        deep(60),
    ),
)


def spots(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a JSON value that something else can be put into."""
    places = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(places):
        yield value, key
        yield from spots(inner)


def spoiled_row(rng: random.Random, row: Mapping[str, Any]) -> Any:
    """The row with one to three values replaced, dropped or wrapped; or no object at all."""
    made = copy.deepcopy(dict(row))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        everywhere = list(spots(made))
        if not everywhere:
            break
        holder, key = rng.choice(everywhere)
        action = rng.randrange(6)
        if action == 0:
            del holder[key]
        elif action == 1:
            holder[key] = [holder[key]]
        elif action == 2 and isinstance(holder, dict):
            holder[str(rng.choice(JUNK))] = rng.choice(JUNK)
        else:
            holder[key] = copy.deepcopy(rng.choice(JUNK))
    return rng.choice(JUNK) if rng.random() < 0.02 else made


def line_of(rng: random.Random, row: Mapping[str, Any]) -> bytes:
    """A row as the bytes of one line, some of them torn, doubled, in another encoding, or too deep to parse."""
    text = json.dumps(spoiled_row(rng, row), ensure_ascii=rng.random() < 0.8)
    raw = text.encode("utf-8", "surrogatepass")
    chance = rng.random()
    if chance < 0.03:
        return raw[: rng.randrange(len(raw) + 1)]
    if chance < 0.05:
        return raw + raw
    if chance < 0.06:
        return b"[" * 50_000
    if chance < 0.08:
        place = rng.randrange(len(raw) + 1)
        return raw[:place] + rng.choice((b"\xff", b"\x00", b"\xed\xa0\x80", b"\\")) + raw[place:]
    return raw


def check_set(found: TaskSet, case: object) -> int:
    """What a comparison would do with the examples before it asks any of them; how many rows there were."""
    for reason in found.left_out:
        assert len(reason.splitlines()) == 1, (case, reason)
        assert ": " in reason, (case, reason)
    for outline, example in zip(found.outlines, found.examples, strict=True):
        assert outline.id == example.id
        json.dumps(example_row(example), allow_nan=False)
        task = found.task.about(example)
        prompt = task.prompt(example.context, example.question or "?", clause=True)
        prompt.encode("utf-8")  # or no tokenizer would read it
        refusal(partial(grid.check_example, task, example), case)
        score = task.score("Alden", example)
        assert 0.0 <= score <= 1.0
        assert all(isinstance(answer, str) for answer in example.answers)
    return len(found.examples) + len(found.left_out)


def count_words(text: str) -> int:
    text.encode("utf-8")
    return len(text.split())


@pytest.mark.parametrize("spec", LOADERS)
def test_a_random_row_becomes_an_example_or_is_left_out_with_its_place_and_reason(spec, tmp_path):
    name, row, form = LOADERS[spec]
    resolved = resolve("benchmark", spec)
    path = tmp_path / name
    path.parent.mkdir()
    kept = left = 0
    for batch in range(-(-PER_LOADER // BATCH)):
        rng = random.Random(stable_seed("rows", spec, batch))
        if form == "lines":
            lines = [line_of(rng, row) for _ in range(BATCH)]
            path.write_bytes(
                b"\n".join([json.dumps(row).encode(), *(line.replace(b"\n", b"") for line in lines)])
            )
        else:
            rows = [spoiled_row(rng, row) for _ in range(BATCH)]
            path.write_text(json.dumps([row, *(one for one in rows if isinstance(one, dict))]))
            lines = [one for one in rows if isinstance(one, dict)]
        made: list[TaskSet] = []

        def read(made: list[TaskSet] = made) -> None:
            made.extend(resolved.factory(count_words, data_dir=tmp_path, **resolved.options))

        assert not refusal(read, (spec, batch))
        (found,) = made
        assert check_set(found, (spec, batch)) == 1 + (
            sum(map(bool, lines)) if form == "lines" else len(lines)
        )
        kept += len(found.examples) - 1
        left += len(found.left_out)
    assert kept > PER_LOADER // 20
    assert left > PER_LOADER // 20


def test_a_random_file_of_predictions_is_paired_or_refused_in_one_line(tmp_path):
    resolved = resolve("benchmark", "longbench:tasks=hotpotqa")
    (tmp_path / "longbench").mkdir()
    whole = [LONG | {"_id": str(number)} for number in range(BATCH)]
    (tmp_path / "longbench" / "hotpotqa.jsonl").write_text("\n".join(map(json.dumps, whole)))
    (found,) = resolved.factory(count_words, data_dir=tmp_path, **resolved.options)
    paired = 0
    for batch in range(-(-PER_LOADER // BATCH)):
        rng = random.Random(stable_seed("predictions", batch))
        often = (0.05, 0.5)[batch % 2]
        rows = [{"pred": "Alden", "answers": ["Alden"], "_id": str(number)} for number in range(BATCH)]
        lines = [line_of(rng, row) if rng.random() < often else json.dumps(row).encode() for row in rows]
        (tmp_path / "hotpotqa.jsonl").write_bytes(b"\n".join(lines))

        def match() -> None:
            nonlocal paired
            given = pair("theirs", tmp_path, found.task, found.outlines)
            assert set(given.texts) <= {outline.id for outline in found.outlines}
            json.dumps(dict(given.texts)).encode()
            assert len(given.describe().splitlines()) == 1
            paired += len(given.texts)

        refusal(match, batch)
    assert paired
