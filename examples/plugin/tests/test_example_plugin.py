"""The plugin by itself: ``pytest examples/plugin``. What needs the suite is skipped where it is not there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from example_plugin.ngrams import NGrams
from example_plugin.own_questions import own_questions, parse, read
from example_plugin.vote import Vote


class Reader:
    """Answers with the last word before the question; tokens are words."""

    spec = SimpleNamespace(chunk_size=2, no_answer="Error")

    def offsets(self, text):
        spans, start = [], 0
        for word in text.split():
            start = text.index(word, start)
            spans.append((start, start + len(word)))
            start += len(word)
        return spans

    def encode(self, text, *, chat=False):
        return text

    def generate(self, prompt, max_new_tokens, *, stop=()):
        words = prompt.partition("\n\n")[0].split()
        return f" {words[-1]} " if words else "Error"


def chunk(text):
    return SimpleNamespace(text=text)


def test_the_answer_of_most_chunks_wins_and_no_answer_has_no_vote():
    assert Vote(Reader()).answer("a Error b Error c yes d yes e no", "?") == "yes"
    assert Vote(Reader()).answer("a no b yes", "?") == "no"
    assert Vote(Reader()).answer("a Error b Error", "?") == "Error"
    assert Vote(Reader(), chunk_size=1).answer("a b b c", "?") == "b"
    assert Vote(Reader()).answer("", "?") == "Error"


def test_a_chunk_size_below_one_is_refused():
    with pytest.raises(ValueError, match="chunk_size=0"):
        Vote(Reader(), chunk_size=0)


def test_the_chunk_with_the_rarer_n_grams_comes_first_and_a_tie_keeps_the_order():
    chunks = [chunk("the river"), chunk("the Rivre bank"), chunk("the Danube bank")]
    assert NGrams(n=3).rank("the Danub", chunks).order[0] == 2
    assert NGrams(n=3).rank("Rivers", chunks).order[0] == 0
    assert NGrams(n=3).rank("xyz", chunks) == ([0, 1, 2], [0.0, 0.0, 0.0], {"no_shared_ngram": True})
    assert NGrams(n=2).rank("東京", [chunk("京都です"), chunk("東京です")]).order == [1, 0]


def test_a_row_that_cannot_be_asked_is_named_with_its_line_and_reason(tmp_path):
    good = {"context": "c", "question": "q", "answers": ["a"]}
    lines = [good, {**good, "answers": "a"}, {**good, "context": ""}, [1], {**good, "answers": [1]}]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join([*map(json.dumps, lines), "{", ""]))
    rows, left_out = read(path)
    assert rows == [(1, good)]
    assert [line.partition(": ")[0] for line in left_out] == [f"{path}:{n}" for n in (2, 3, 4, 5, 6)]
    assert parse(b"[" * 100_000) == "not a whole JSON object"


def test_nothing_of_the_suite_is_imported():
    code = (
        "import sys, example_plugin.vote, example_plugin.ngrams, example_plugin.own_questions;"
        "ours = {'methods', 'retrievers', 'benchmarks', 'models', 'comparison', 'torch'};"
        "sys.exit(repr(ours & set(sys.modules)) if ours & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=True)


def test_the_questions_become_examples_of_the_suite(tmp_path):
    pytest.importorskip("benchmarks.base")
    row = {"context": "Alden works in banking.", "question": "Which field?", "answers": ["banking"]}
    (tmp_path / "q.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, "id": 7}))
    (made,) = own_questions(lambda text: len(text.split()), data_dir=tmp_path, file=Path("q.jsonl"))
    assert [one.id for one in made.examples] == ["line-1", "7"]
    assert made.examples[0].length == 4
    assert made.task.score("banking", made.examples[0]) == 1.0
    with pytest.raises(ValueError, match=r"there is no .*none\.jsonl"):
        own_questions(len, data_dir=tmp_path, file=Path("none.jsonl"))
