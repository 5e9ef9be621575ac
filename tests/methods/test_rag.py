"""What RAG reads: which chunks, in which order, joined how."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from benchmarks.base import Task
from methods.base import Undefined, split_context
from methods.oprm import OPRM
from methods.rag import RAG
from retrievers.base import Ranking
from retrievers.chunking import join

CONTEXT = "aa bb cc dd ee ff gg hh ii jj"  # chunks of 2 tokens: 0 to 4
TASK = Task("t", "", " {question}", "value", 8)


class Fixed:
    """A ranker with a given order; it remembers its queries."""

    def __init__(self, *order, **flags):
        self.order, self.flags, self.queries = list(order), flags, []

    def rank(self, question, chunks):
        self.queries.append(question)
        return Ranking(self.order, [self.order.index(n) * -1.5 for n in range(len(chunks))], self.flags)


def ask(engine, ranker="bm25", context=CONTEXT, question="q", task=TASK, **options):
    return RAG(engine, retriever=ranker, **options).answer(context, question, task=task)


@pytest.mark.parametrize(
    ("options", "read", "spans"),
    [
        ({}, "gg hh", ((17, 23),)),
        ({"k": 2}, "gg hh \n \n aa bb", ((17, 23), (0, 5))),
        ({"k": 2, "order": "document"}, "aa bb \n \n gg hh", ((0, 5), (17, 23))),
        ({"k": 3}, "gg hh \n \n aa bb cc dd", ((17, 23), (0, 11))),  # neighbours stay as they stood
        ({"k": 4, "order": "document"}, "aa bb cc dd \n \n gg hh ii jj", ((0, 11), (17, 29))),
        (
            {"k": 4},
            "gg hh ii jj \n \n aa bb cc dd",
            ((17, 29), (0, 11)),
        ),  # also where the better one is later
        ({"k": 5, "order": "document"}, CONTEXT, ((0, 29),)),
    ],
)
def test_the_best_k_chunks_are_joined_in_the_order_asked_for(scripted, options, read, spans):
    engine = scripted(chunk_size=2)
    answer = ask(engine, Fixed(3, 0, 1, 4, 2), **options)
    assert engine.of("generate") == [read + " q"]
    assert answer.spans == spans


@pytest.mark.parametrize("order", [(0, 1, 3, 2), (1, 0, 3, 2)])
def test_overlapping_neighbours_are_not_read_twice(scripted, order):
    engine = counting(scripted(chunk_size=4, overlap=2))
    ask(engine, Fixed(*order), k=2)
    assert engine.of("generate") == ["aa bb cc dd ee ff q"]
    packed = ask(engine, Fixed(*order), budget=6)  # nor paid for twice
    assert packed.details["picked"] == list(order[:2])


def test_the_record_shows_what_was_picked_its_scores_and_the_rankers_flags(scripted):
    answer = ask(scripted(chunk_size=2), Fixed(3, 0, 1, 4, 2, tie=True, fallback=False, calls=7), k=2)
    assert answer.details == {
        "chunks": 5,
        "picked": [3, 0],
        "flags": ["tie"],
        "scores": [0.0, -1.5],
        "calls": 7,
    }


def test_the_question_alone_is_the_query_and_the_time_is_booked_as_retrieval(scripted):
    engine, ranker = scripted(chunk_size=2), Fixed(0, 1, 2, 3, 4)
    ask(engine, ranker, task=replace(TASK, before="Answer now. "))
    assert ranker.queries == ["q"]
    assert engine.of("phase") == ["split", "retrieve"]


class Sorted:
    """A ranker that settles its first two places of the five."""

    def rank(self, question, chunks):
        return Ranking([4, 2, 1, 0, 3], [2.0, 3.0, 4.0, 1.0, 5.0], settled=2)


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ({"k": 2}, []),
        ({"k": 3}, ["unsettled_places"]),
        ({"budget": 7}, []),
        ({"budget": 8}, ["unsettled_places"]),
        ({"k": 5}, []),  # all of them: nothing is chosen
    ],
)
def test_reading_more_places_than_the_ranker_settled_is_flagged(scripted, options, flags):
    assert ask(counting(scripted(chunk_size=2)), Sorted(), **options).details["flags"] == flags


@pytest.mark.parametrize(("m", "flags"), [(2, []), (3, ["unsettled_places"]), (5, [])])
def test_candidates_beyond_the_places_that_their_ranker_settled_are_flagged(scripted, m, flags):
    answer = OPRM(scripted(chunk_size=2), candidates=Sorted(), m=m).answer(CONTEXT, "q", task=TASK)
    assert answer.details["flags"] == flags


def test_fewer_chunks_than_k_are_all_read_and_flagged(scripted):
    answer = ask(scripted(chunk_size=6), Fixed(1, 0), k=3)
    assert answer.details["picked"] == [1, 0]
    assert answer.details["flags"] == ["fewer_chunks_than_k"]


def test_a_single_chunk_is_not_ranked(scripted):
    ranker = Fixed()
    answer = ask(scripted(chunk_size=50), ranker)
    assert ranker.queries == []
    assert answer.details == {"chunks": 1, "picked": [0], "flags": ["single_chunk"], "scores": [0.0]}


def test_an_empty_context_is_answered_from_and_flagged(scripted):
    assert ask(scripted(), context="").details["flags"] == ["single_chunk", "empty_context"]


def test_a_question_that_shares_no_word_with_the_context_falls_back_on_its_beginning(scripted):
    answer = ask(scripted(chunk_size=2), question="zz")
    assert answer.details["picked"] == [0]
    assert "fallback" in answer.details["flags"]


@pytest.mark.parametrize("missing", [{"question": " "}, {"task": replace(TASK, retrievable=False)}])
def test_retrieval_is_undefined_without_a_question(scripted, missing):
    with pytest.raises(Undefined, match="task t"):
        ask(scripted(), **missing)


def test_the_ranker_is_built_from_its_spec_with_options(scripted):
    engine = scripted(chunk_size=2)
    assert ask(engine, "bm25(variant=okapi)", question="ff").details["picked"] == [2]
    assert ask(engine, question="Where is HH?").details["picked"] == [3]


@pytest.mark.parametrize(("clause", "carried"), [("oprm", False), ("all", True), ("none", False)])
def test_the_prompt_carries_the_clause_only_where_every_methods_does(scripted, clause, carried):
    engine = scripted(chunk_size=2)
    ask(engine, task=replace(TASK, after=" {question}{clause}", no_answer_clause=" else none"), clause=clause)
    assert ("else none" in engine.of("generate")[0]) == carried


def test_the_retrievers_weights_are_the_methods(scripted):
    ranker = Fixed(0)
    ranker.weights = {"some/encoder": "c0ffee"}
    assert RAG(scripted(), retriever=ranker).weights == {"some/encoder": "c0ffee"}
    assert OPRM(scripted(), candidates=ranker).weights == {"some/encoder": "c0ffee"}
    assert RAG(scripted()).weights == OPRM(scripted()).weights == {}


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"k": 0}, "k=0"),
        ({"order": "random"}, "rank or document"),
        ({"budget": 3}, "budget=3 is less than a chunk"),
        ({"budget": 8, "k": 2}, "give one"),
        ({"ranker": "bm52"}, "did you mean bm25"),
        ({"ranker": "bm25(variant=best)"}, "plus or okapi"),
    ],
)
def test_an_option_out_of_its_range_is_refused_when_the_method_is_made(scripted, options, part):
    with pytest.raises(ValueError, match=part):
        ask(scripted(), **options)


def counting(engine):
    engine.count_tokens = lambda text: len(engine.offsets(text))
    return engine


@pytest.mark.parametrize(
    ("options", "picked"),
    [
        ({"budget": 5}, [3]),
        ({"budget": 6}, [3, 0]),  # the blank line between them is two tokens
        ({"budget": 6, "order": "document"}, [0, 3]),
        ({"budget": 8}, [3, 0, 1]),  # 0 and 1 are neighbours, without a blank line
        ({"budget": 99}, [3, 0, 1, 4, 2]),
    ],
)
def test_the_best_passages_are_packed_into_a_budget_of_the_joined_texts_tokens(scripted, options, picked):
    engine = counting(scripted(chunk_size=2))
    answer = ask(engine, Fixed(3, 0, 1, 4, 2), **options)
    assert answer.details["picked"] == picked
    assert len(engine.offsets(engine.of("generate")[0].removesuffix(" q"))) <= options["budget"]


def test_the_first_passage_that_does_not_fit_ends_the_packing(scripted):
    engine = counting(scripted(chunk_size=4))  # chunks of 4, 4 and 2 tokens
    assert ask(engine, Fixed(2, 0, 1), budget=4).details["picked"] == [2]


@pytest.mark.parametrize("budget", [20, 23, 170, 640, 1500, 5000])
def test_hundreds_of_passages_are_packed_as_one_by_one_without_counting_them_one_by_one(
    scripted, monkeypatch, budget
):
    context = " ".join(f"w{number}" for number in range(4000))
    engine = counting(scripted(chunk_size=20, overlap=2))
    chunks = split_context(engine, context, None, None, "token")
    order = random.Random(budget).sample(range(len(chunks)), len(chunks))

    def tokens(count):
        return engine.count_tokens(join(context, [chunks[place] for place in order[:count]])[0])

    one_by_one = next((count for count in range(1, len(order)) if tokens(count + 1) > budget), len(order))
    counted = []
    monkeypatch.setattr(
        engine, "count_tokens", lambda text: counted.append(text) or len(engine.offsets(text))
    )
    assert ask(engine, Fixed(*order), context=context, budget=budget).details["picked"] == order[:one_by_one]
    assert len(counted) < 4 + one_by_one / 5


def test_the_budget_is_matched_with_oprms_chunk_by_chunk(scripted):
    engine = scripted(chunk_size=3, overlap=1)
    rag, oprm = ask(engine, question="ff"), OPRM(engine).answer(CONTEXT, "ff", task=TASK)
    assert rag.details["chunks"] == oprm.details["chunks"] == 5
    assert rag.spans[0][1] - rag.spans[0][0] == len(" ee ff gg") or rag.spans[0][0] == 0
