"""OPRM's choice against hand-computed entropies and likelihoods, and against the reader's own single rows."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy as scipy_entropy

from benchmarks.base import PLAIN_QA, Task
from methods.base import Undefined
from methods.full import Full
from methods.oprm import OPRM, entropies
from retrievers.base import Ranking

SURE = {"yes": 1.0}
ONE_BIT = {"yes": 0.5, "no": 0.5}
TWO_BITS = {"yes": 0.25, "no": 0.25, "red": 0.25, "blue": 0.25}
IDK = {"Error": 0.9, "yes": 0.1}  # 0.469 bits
CONTEXT = "a0 x x x b0 x x x c0 x x x d0 x"  # chunks a, b, c and a short d


def by_chunk(**thoughts):
    """Think by the chunk's first word."""
    return lambda text: next((t for name, t in thoughts.items() if f" {name}0 " in f" {text} "), SURE)


def ask(engine, *, task=PLAIN_QA, context=CONTEXT, question="who ?", **options):
    return OPRM(engine, **options).answer(context, question, task=task)


def test_the_answer_comes_from_the_row_with_the_lowest_entropy(scripted):
    engine = scripted(by_chunk(a=TWO_BITS, b=ONE_BIT, c={"yes": 0.9, "no": 0.1}, d=TWO_BITS))
    answer = ask(engine)
    assert answer.details["picked"] == [2]
    assert answer.details["chunks"] == 4
    assert answer.details["entropies"] == [2.0, 1.0, round(scipy_entropy([0.9, 0.1], base=2), 4), 2.0]
    assert answer.spans == ((CONTEXT.index(" c0"), CONTEXT.index(" d0")),)
    assert "c0 x x x" in answer.text
    assert "b0" not in answer.text
    assert answer.details["flags"] == []
    assert answer.details["filtered"] == 0


def test_a_row_whose_most_probable_token_is_the_no_answer_word_is_dropped_however_sure(scripted):
    engine = scripted(by_chunk(a=IDK, b=ONE_BIT, c=TWO_BITS, d=IDK))
    answer = ask(engine)
    assert answer.details["picked"] == [1]
    assert answer.details["filtered"] == 2


def test_the_filter_looks_at_the_most_probable_token_only(scripted):
    almost = {"Error": 0.49, "yes": 0.51}
    engine = scripted(by_chunk(a=almost, b=TWO_BITS, c=TWO_BITS, d=TWO_BITS))
    answer = ask(engine)
    assert answer.details["picked"] == [0]
    assert answer.details["filtered"] == 0


def test_without_the_filter_the_surest_row_wins_even_if_it_says_no_answer(scripted):
    engine = scripted(by_chunk(a=ONE_BIT, b=IDK, c=ONE_BIT, d=ONE_BIT))
    assert ask(engine, idk_filter=False).details["picked"] == [1]


def test_a_tie_goes_to_the_earlier_chunk_in_whatever_order_the_rows_are_read(scripted):
    for batch_rows in (1, 2, 4):
        engine = scripted(by_chunk(a=TWO_BITS, b=ONE_BIT, c=ONE_BIT, d=ONE_BIT), batch_rows=batch_rows)
        assert ask(engine).details["picked"] == [1]
    # the first row is the longest and is read first, but chunk 0 is the earlier of the two that tie
    engine = scripted(by_chunk(a=TWO_BITS, b=SURE, c=TWO_BITS, d=SURE), batch_rows=1)
    assert ask(engine).details["picked"] == [1]


def test_if_every_row_is_filtered_entropy_decides_among_all_and_the_flag_says_so(scripted):
    surer = {"Error": 0.99, "yes": 0.01}
    engine = scripted(by_chunk(a=IDK, b=IDK, c=surer, d=IDK))
    answer = ask(engine)
    assert answer.details["picked"] == [2]
    assert answer.details["flags"] == ["all_filtered"]
    assert answer.details["filtered"] == 4


def test_if_every_row_is_filtered_it_can_abstain_with_the_no_answer_word(scripted):
    engine = scripted(lambda text: IDK)
    answer = ask(engine, on_all_filtered="abstain")
    assert (answer.text, answer.spans, answer.details["picked"]) == ("Error", (), [])
    assert answer.details["flags"] == ["all_filtered"]
    assert not engine.of("decode")


def test_an_unfiltered_row_beats_every_filtered_one_across_micro_batches(scripted):
    for order in ({"a": TWO_BITS, "b": IDK}, {"a": IDK, "b": TWO_BITS}):
        engine = scripted(by_chunk(**order, c=IDK, d=IDK), batch_rows=1)
        answer = ask(engine)
        assert answer.details["picked"] == [list(order.values()).index(TWO_BITS)]
        assert engine.of("decode") == [engine.of("select")[-1 if order["a"] is IDK else 0]]


def test_a_single_chunk_is_answered_from_without_choice_or_filter(scripted):
    engine = scripted(lambda text: IDK)
    answer = ask(engine, context="a0 x x", on_all_filtered="abstain")
    assert answer.details["flags"] == ["single_chunk"]
    assert answer.details["picked"] == [0]
    assert answer.spans == ((0, 6),)
    assert answer.text != "Error"


def test_one_micro_batch_and_the_best_state_are_all_that_is_ever_held(scripted):
    bits = {f"k{number}": number for number in (5, 4, 6, 3, 2, 7, 1, 8)}

    def think(text):
        sides = next(2**number for name, number in bits.items() if f" {name} " in f" {text} ")
        return {f"v{side}": 1 / sides for side in range(sides)}

    def answered(batch_rows):
        engine = scripted(think, batch_rows=batch_rows)
        answer = ask(engine, context=" ".join(f"{name} x x x" for name in bits), idk_filter=False)
        assert answer.details["picked"] == [6]
        assert "k1 x x x" in engine.of("decode")[0]
        return engine

    engine = answered(batch_rows=2)  # the best row of every batch of two beats the batches before it
    assert engine.states_held == [0, 0, 0, 0]
    assert engine.states_kept == [0, 0, 0, 0]  # the old one is let go before the new one is cut out
    assert len(engine.of("select")) == 4
    assert len(answered(batch_rows=8).of("select")) == 1


def test_a_state_that_had_to_be_read_again_is_flagged(scripted):
    assert ask(scripted(again=True)).details["flags"] == ["prefill_again"]


def test_the_clause_is_in_the_rows_unless_it_is_turned_off(scripted):
    task = replace(PLAIN_QA, before="", after="\nQ {question}{clause}\nA", no_answer_clause=" else Error")
    for clause, carried in (("oprm", True), ("all", True), ("none", False)):
        engine = scripted()
        ask(engine, task=task, clause=clause)
        assert ("who ? else Error" in engine.of("decode")[0]) is carried
        assert "who ?" in engine.of("decode")[0]


def test_rows_are_wrapped_in_the_tasks_own_words_and_chat_turn(scripted, monkeypatch):
    engine, read = scripted(), []
    batches = engine.prefill_batches
    monkeypatch.setattr(engine, "prefill_batches", lambda rows, last: batches(read.extend(rows) or read))
    ask(engine, task=replace(PLAIN_QA, before="Read: ", after=" Q {question}"))
    assert list(read[1]) == engine.encode("Read: b0 x x x Q who ?", chat=True)


def test_query_likelihood_picks_the_chunk_under_which_the_question_is_most_likely(scripted):
    likely = {"a": (0.5, 0.5), "b": (0.25, 0.8), "c": (0.9, 0.125), "d": (0.1, 0.1)}

    def think(text):
        name = next(name for name in likely if f" {name}0 " in f" {text} ")
        first, second = likely[name]
        if text.endswith("Question :"):
            return {"where": first, "no": 1 - first}
        if text.endswith("where"):
            return {"Alden": second, "no": 1 - second}
        return TWO_BITS if name == "a" else SURE  # entropy alone would never pick a

    engine = scripted(think)
    answer = ask(engine, question="where Alden", select="query_likelihood")
    expected = [round(math.log(first * second), 4) for first, second in likely.values()]
    assert answer.details["likelihoods"] == pytest.approx(expected, abs=1e-4)
    assert answer.details["picked"] == [0]
    assert "a0" in answer.text
    assert answer.details["entropies"] == [2.0, 0.0, 0.0, 0.0]


def test_query_likelihood_still_drops_the_rows_that_know_nothing(scripted):
    def think(text):
        if text.endswith("Question :"):
            return {"where": 0.9 if " a0 " in text else 0.5, "no": 0.1 if " a0 " in text else 0.5}
        return IDK if " a0 " in text else SURE

    assert ask(scripted(think), question="where", select="query_likelihood").details["picked"] == [1]


def test_query_likelihood_is_undefined_where_there_is_no_question(scripted):
    task = Task("summary", "", "\nSummary:", "rouge", 8, retrievable=False)
    with pytest.raises(Undefined):
        ask(scripted(), task=task, select="query_likelihood")
    assert ask(scripted(), task=task).details["picked"] == [0]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{question}\n", "\nAnswer: "),
        ("{question}\n", "\n{question} Answer:"),
        ("Run this code.\n", "\nThe value is"),
    ],
)
def test_query_likelihood_is_undefined_unless_the_question_stands_behind_the_text_alone(
    scripted, before, after
):
    task = replace(PLAIN_QA, before=before, after=after)
    with pytest.raises(Undefined, match="behind the context alone"):
        ask(scripted(), task=task, select="query_likelihood")
    assert ask(scripted(), task=task).details["picked"] == [0]


class Backwards:
    """Ranks the last chunk first."""

    def rank(self, question, chunks):
        flags = {"tie": True, "fallback": False, "judge_tokens": 70}
        return Ranking(list(range(len(chunks)))[::-1], [float(n) for n in range(len(chunks))], flags)


def test_candidates_leave_m_chunks_to_read_in_document_order(scripted):
    engine = scripted(by_chunk(a=SURE, b=SURE, c=ONE_BIT, d=TWO_BITS))
    answer = ask(engine, candidates=Backwards(), m=2)
    assert answer.details["candidates"] == [2, 3]
    assert answer.details["picked"] == [2]
    assert answer.details["entropies"] == [1.0, 2.0]
    assert "retrieve" in engine.of("phase")


def test_the_record_keeps_what_the_candidates_ranker_says(scripted):
    details = ask(scripted(by_chunk(a=SURE, b=SURE, c=IDK, d=IDK)), candidates=Backwards(), m=2).details
    assert details["flags"] == ["all_filtered", "tie"]
    assert details["judge_tokens"] == 70
    alone = ask(scripted(chunk_size=99), candidates=Backwards()).details
    assert alone["flags"] == ["single_chunk"]
    assert "judge_tokens" not in alone


def test_candidates_may_be_named_by_a_spec(scripted):
    engine = scripted()
    answer = ask(engine, question="where is d0 ?", candidates="bm25(variant=okapi)", m=1)
    assert answer.details["candidates"] == [3]
    assert answer.details["flags"] == ["single_chunk"]


def test_candidates_are_undefined_where_there_is_no_question(scripted):
    with pytest.raises(Undefined):
        ask(scripted(), task=replace(PLAIN_QA, retrievable=False), candidates="bm25")


def test_the_best_chunks_can_be_joined_and_read_once_more(scripted):
    engine = scripted(by_chunk(a=ONE_BIT, b=TWO_BITS, c=SURE, d=IDK))
    answer = ask(engine, top=2)
    assert answer.details["picked"] == [2, 0]
    assert not engine.of("decode")
    assert answer.spans == ((0, CONTEXT.index(" b0")), (CONTEXT.index(" c0"), CONTEXT.index(" d0")))
    assert "a0 x x x \n \n c0 x x x" in engine.of("generate")[0]


def test_top_never_takes_a_filtered_chunk_while_there_is_another(scripted):
    answer = ask(scripted(by_chunk(a=IDK, b=SURE, c=IDK, d=IDK)), top=3)
    assert answer.details["picked"] == [1]


@pytest.mark.parametrize("context", [CONTEXT, "b0 x x"])
def test_the_one_chunk_that_is_left_is_not_read_again_whatever_top_is(scripted, context):
    """The filter leaves one of four, or there is only one."""
    one, several = (scripted(by_chunk(a=IDK, b=SURE, c=IDK, d=IDK), batch_rows=1) for _ in range(2))
    assert ask(several, context=context, top=3) == ask(one, context=context)
    assert several.events == one.events
    assert len(several.of("decode")) == 1


def test_no_state_is_kept_while_the_best_chunks_are_read_once_more(scripted, monkeypatch):
    engine, kept = scripted(by_chunk(a=ONE_BIT, b=TWO_BITS, c=SURE, d=IDK), batch_rows=1), []
    monkeypatch.setattr(engine, "generate", lambda *_, **__: kept.extend(ref() for ref in engine._selected))
    ask(engine, top=2)
    assert kept == [None, None]


def test_an_empty_context_is_answered_from_and_flagged(scripted):
    answer = ask(scripted(), context="")
    assert answer.details["flags"] == ["single_chunk", "empty_context"]
    assert answer.details["chunks"] == 1


def test_at_most_sixty_four_entropies_are_recorded(scripted):
    answer = ask(scripted(), context="w " * 400)
    assert answer.details["chunks"] == 100
    assert len(answer.details["entropies"]) == 64


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"select": "guess"}, "entropy or query_likelihood"),
        ({"on_all_filtered": "cry"}, "entropy or abstain"),
        ({"profile": "poor"}, "fair or paper"),
        ({"clause": "some"}, "oprm or all or none"),
        ({"m": 0}, "m=0"),
        ({"m": 3}, "m=3 says how many candidates are read: give candidates=RANKER beside it"),
        ({"top": 0}, "top=0"),
        ({"candidates": "bm52"}, "did you mean bm25"),
    ],
)
def test_an_option_out_of_its_range_is_refused_when_the_method_is_made(scripted, options, part):
    with pytest.raises(ValueError, match=part):
        OPRM(scripted(), **options)


def entropy(logits: torch.Tensor) -> float:
    [bits] = entropies(logits[None])
    return bits


@given(st.lists(st.floats(-60, 60), min_size=1, max_size=40))
@settings(deadline=None)
def test_entropy_agrees_with_scipy_in_double_precision(logits):
    expected = scipy_entropy(np.exp(np.array(logits) - max(logits)), base=2)
    assert entropy(torch.tensor(logits, dtype=torch.float32)) == pytest.approx(float(expected), abs=2e-5)


def test_entropy_is_sound_for_huge_logits_and_for_impossible_tokens():
    assert entropy(torch.tensor([3e38, 3e38, -3e38])) == pytest.approx(1.0)
    assert entropy(torch.tensor([0.0, 0.0, -math.inf])) == pytest.approx(1.0)
    assert entropy(torch.tensor([5.0, -math.inf])) == 0.0


# Tasks without one best chunk, and the paper's profile


def test_a_summary_is_decoded_from_every_chunk_and_joined_by_newlines(scripted):
    engine = scripted(lambda text: IDK, say=lambda text: next(w for w in text.split() if w.endswith("0")))
    answer = ask(engine, task=replace(PLAIN_QA, gather="each", before=""))
    assert answer.text == "a0\nb0\nc0\nd0"
    assert answer.details["picked"] == [0, 1, 2, 3]
    assert answer.details["flags"] == ["each_chunk"]
    assert engine.states_held == [0, 0, 0]
    paper = ask(engine, task=replace(PLAIN_QA, gather="each", before=""), profile="paper")
    assert paper.text == answer.text + "\n"


def test_a_line_of_code_goes_on_from_the_last_tokens_alone(scripted):
    engine = scripted()
    answer = ask(engine, task=replace(PLAIN_QA, gather="last", before="", after=" {question}"), chunk_size=3)
    assert answer.text == "x d0 x who ?"
    assert answer.details == {"tokens": 14, "kept": 3, "flags": ["last_tokens"]}
    assert answer.spans == ((CONTEXT.index(" x d0"), len(CONTEXT)),)
    assert ask(engine, task=replace(PLAIN_QA, gather="last"), chunk_size=99).details["kept"] == 14


def test_the_paper_turns_filter_and_clause_off_for_its_reader_without_them(scripted):
    task = replace(PLAIN_QA, before="", after="\nQ {question}{clause}\nA", no_answer_clause=" else Error")
    for filtering in (True, False):
        for profile in ("fair", "paper"):
            engine = scripted(by_chunk(a=ONE_BIT, b=IDK, c=ONE_BIT, d=ONE_BIT))
            engine.spec = SimpleNamespace(**vars(engine.spec) | {"idk_filter": filtering})
            answer = ask(engine, task=task, profile=profile)
            off = profile == "paper" and not filtering
            assert answer.details["filtered"] == (0 if off else 1)
            assert answer.details["picked"] == [1 if off else 0]
            assert ("else Error" in answer.text) is not off


# Through the real engine


def test_one_chunk_answers_as_the_full_context_does_when_the_prompts_are_equal(mamba):
    context = "w1 w2 w3 . w4 w5 w6 ."
    oprm = OPRM(mamba).answer(context, "w7 w8 ?")
    assert oprm.text == Full(mamba).answer(context, "w7 w8 ?").text != ""
    assert oprm.details["flags"] == ["single_chunk"]


@pytest.mark.parametrize("batch_tokens", [1, 10_000])
def test_the_answer_is_that_of_the_picked_row_read_alone(mamba, batch_tokens, monkeypatch):
    monkeypatch.setattr(mamba, "batch_tokens", batch_tokens)
    context = " ".join(f"w{(7 * place) % 57}" for place in range(53))
    answer = OPRM(mamba, idk_filter=False).answer(context, "w7 w8 ?")
    ((start, end),) = answer.spans
    assert answer.details["chunks"] == 5
    assert answer.text == Full(mamba).answer(context[start:end], "w7 w8 ?").text
    alone = [
        entropy(mamba.prefill([mamba.encode(PLAIN_QA.prompt(chunk, "w7 w8 ?"))]).logits[0, -1])
        for chunk in (" ".join(context.split(" ")[12 * n : 12 * n + 12]) for n in range(5))
    ]
    assert answer.details["entropies"] == pytest.approx(alone, abs=1e-3)
    assert answer.details["picked"] == [alone.index(min(alone))]


def test_the_likelihood_of_the_question_is_the_readers_own_score(mamba):
    context = " ".join(f"w{(11 * place) % 57}" for place in range(30))
    answer = OPRM(mamba, select="query_likelihood").answer(context, "w7 w8 ?")
    for number, likelihood in enumerate(answer.details["likelihoods"]):
        chunk = " ".join(context.split(" ")[12 * number : 12 * number + 12])
        before, _, _ = PLAIN_QA.prompt(chunk, "w7 w8 ?").rpartition("w7 w8 ?")
        alone = mamba.score(mamba.encode(before.rstrip(" ")), mamba.encode("w7 w8 ?"))
        assert likelihood == pytest.approx(alone, abs=1e-3)
