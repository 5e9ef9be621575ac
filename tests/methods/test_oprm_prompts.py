"""What OPRM's prompts carry wherever it reads: the clause, the window's cut, the question whole, the last tokens."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from benchmarks.base import PLAIN_QA, Task
from methods.base import Undefined
from methods.oprm import OPRM

CONTEXT = "a0 x x x b0 x x x c0 x x x d0 x"  # chunks a, b, c and a short d
IDK = {"Error": 0.9, "yes": 0.1}
BARE = Task("bare", "", " {question}{clause}", "value", 4, no_answer_clause=" or Error", chat=False)


def ask(engine, task=BARE, context=CONTEXT, question="q", **options):
    return OPRM(engine, **options).answer(context, question, task=task)


@pytest.mark.parametrize(
    ("options", "gather", "fits"),
    [
        ({}, "best", 10),  # 4 of a chunk, 1 of the question, a start token and 4 new ones
        ({"on_all_filtered": "abstain"}, "best", 10),
        ({}, "each", 10),
        ({"top": 2}, "best", 14),
    ],
)
def test_an_answer_says_if_the_window_cut_any_of_its_prompts(scripted, options, gather, fits):
    """The last row is short and is never cut."""
    task = replace(BARE, gather=gather)
    for window, cut in ((fits - 1, True), (fits, False)):
        engine = scripted(lambda text: IDK, window=window)
        assert ask(engine, task, clause="none", **options).truncated is cut


def test_a_row_that_was_cut_is_told_of_though_the_chunks_that_are_read_fit(scripted):
    engine = scripted(lambda text: IDK if " b0 " in f" {text} " else {"yes": 1.0}, window=12, chunk_size=8)
    answer = ask(engine, context="a0 . b0 x x x x x x . c0 .", clause="none", boundary="sentence", top=2)
    assert (answer.details["picked"], engine.of("generate")) == ([0, 2], ["a0 . \n \n c0 . q"])
    assert answer.truncated


@pytest.mark.parametrize(("options", "gather"), [({"top": 2}, "best"), ({}, "last")])
def test_chunks_read_once_more_and_last_tokens_carry_the_clause_as_rows_do(scripted, options, gather):
    for clause, carried in (("oprm", True), ("none", False)):
        engine = scripted()
        ask(engine, replace(BARE, gather=gather), clause=clause, **options)
        assert engine.of("generate")[0].endswith("q or Error") is carried


def test_the_last_tokens_begin_with_a_whole_character_and_are_no_more_than_a_chunk(scripted):
    engine = scripted(chunk_size=3)
    engine.offsets = lambda text: [(place, place + 1) for place in range(len(text)) for _ in range(2)]
    answer = ask(engine, replace(BARE, gather="last"), "wxyz")
    assert answer.spans == ((3, 4),)
    assert (answer.details["tokens"], answer.details["kept"]) == (
        8,
        2,
    )  # of three, one would halve a character
    assert engine.of("phase") == ["split"]


@pytest.mark.parametrize(("question", "tokens"), [("# Alden", 2), ("Alden #", 2), ("# Alden @", 3)])
def test_every_token_of_a_question_is_weighed_whatever_sign_it_begins_and_ends_with(
    scripted, question, tokens
):
    words = ("#", "@", "~", "Alden", "yes", "no", "red", "blue")
    engine = scripted(lambda text: dict.fromkeys(words, 1 / 8))
    likelihoods = ask(engine, question=question, select="query_likelihood").details["likelihoods"]
    assert likelihoods == [pytest.approx(-tokens * math.log(8), abs=1e-4)] * 4


@pytest.mark.parametrize(("task", "question"), [(replace(PLAIN_QA, retrievable=False), "q"), (PLAIN_QA, " ")])
def test_the_likelihood_of_no_question_is_undefined_though_its_place_is_behind_the_text(
    scripted, task, question
):
    with pytest.raises(Undefined, match="it has none"):
        ask(scripted(), task, question=question, select="query_likelihood")


def test_what_a_record_holds_of_a_choice_by_entropy(scripted):
    details = ask(scripted(lambda text: IDK if "b0" in text else {"yes": 0.5, "no": 0.5})).details
    assert details == {
        "chunks": 4,
        "picked": [0],
        "flags": [],
        "filtered": 1,
        "entropies": [1.0, 0.469, 1.0, 1.0],  # the entropy of 0.9 and 0.1 in bits
    }
