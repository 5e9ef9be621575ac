"""The methods that see the answer key."""

from __future__ import annotations

import inspect
from dataclasses import replace

import pytest

from benchmarks.base import PLAIN_QA, Example, Task
from methods import BUILT_IN, find
from methods.base import Undefined
from methods.best_of_chunks import BestOfChunks
from methods.oprm import OPRM
from methods.oracle_chunk import OracleChunk

CONTEXT = "aa bb cc dd ee ff gg hh ii jj kk"  # chunks of 4 tokens: aa-dd, ee-hh, ii-kk
TASK = Task("t", "", " {question}{clause}", "value", 8, no_answer_clause=" or Error")


def example(*evidence, answers=("yes",), choices=("yes", "no")):
    spans = tuple((CONTEXT.index(words), CONTEXT.index(words) + len(words)) for words in evidence)
    return Example("e1", CONTEXT, "q", answers, 11, "all", choices=choices, evidence=spans)


def test_the_yardsticks_see_the_key_or_say_that_they_are_controls():
    factories = {name: find(name) for name in BUILT_IN}
    see_the_key = {n for n, f in factories.items() if "example" in inspect.signature(f.answer).parameters}
    assert see_the_key == {"oracle_chunk", "best_of_chunks"}
    assert {n for n, f in factories.items() if getattr(f, "control", False)} == {
        "closed_book",
        "random_chunk",
    }


@pytest.mark.parametrize(
    ("evidence", "picked"),
    [
        (("ff gg",), 1),
        (("aa",), 0),
        (("bb", "ff gg", "hh"), 1),  # two against one
        (("ff", "bb"), 0),  # a tie: the earlier chunk
        (("dd ee", "jj"), 2),  # what a border cuts does not count
        (("ii jj kk",), 2),
    ],
)
def test_the_oracle_takes_the_chunk_with_most_whole_evidence_and_the_earliest_on_a_tie(
    scripted, evidence, picked
):
    answer = OracleChunk(scripted()).answer(CONTEXT, "q", example=example(*evidence), task=TASK)
    assert answer.details == {"chunks": 3, "picked": [picked], "flags": []}
    assert len(answer.spans) == 1


@pytest.mark.parametrize(("evidence", "picked"), [("dd ee ff", 1), ("cc dd ee", 0)])
def test_the_oracle_says_when_the_borders_cut_all_evidence_and_takes_the_larger_part(
    scripted, evidence, picked
):
    answer = OracleChunk(scripted()).answer(CONTEXT, "q", example=example(evidence), task=TASK)
    assert answer.details == {"chunks": 3, "picked": [picked], "flags": ["evidence_cut"]}


def test_the_oracle_s_prompt_carries_the_clause_only_if_all_do(scripted):
    for clause, carried in (("oprm", False), ("all", True)):
        engine = scripted()
        OracleChunk(engine, clause=clause).answer(CONTEXT, "q", example=example("aa"), task=TASK)
        assert ("or Error" in engine.of("generate")[0]) is carried


def test_an_overlap_can_make_cut_evidence_whole(scripted):
    answer = OracleChunk(scripted(), overlap=1).answer(CONTEXT, "q", example=example("dd ee"), task=TASK)
    assert answer.details["picked"] == [1]
    assert answer.details["flags"] == []


def test_the_oracle_is_undefined_without_evidence(scripted):
    with pytest.raises(Undefined, match="e1 has no evidence"):
        OracleChunk(scripted()).answer(CONTEXT, "q", example=example(), task=TASK)


def right_in(*words):
    return lambda text: "yes" if any(word in text for word in words) else "no"


def test_best_of_chunks_keeps_the_best_scored_answer_of_all(scripted):
    engine = scripted(say=right_in("ff"))
    answer = BestOfChunks(engine).answer(CONTEXT, "q", example=example(), task=TASK)
    assert answer.text == "yes"
    assert answer.details == {"chunks": 3, "picked": [1], "flags": [], "right": 1}
    assert sorted(engine.of("decode")) == ["aa bb cc dd q", "ee ff gg hh q", "ii jj kk q"]


def test_best_of_chunks_takes_the_earliest_on_a_tie_in_whatever_order_rows_are_read(scripted):
    for batch_rows in (1, 2):
        engine = scripted(say=right_in("ff", "kk"), batch_rows=batch_rows)
        assert BestOfChunks(engine).answer(CONTEXT, "q", example=example(), task=TASK).details["picked"] == [
            1
        ]
    answer = BestOfChunks(scripted(say=right_in())).answer(CONTEXT, "q", example=example(), task=TASK)
    assert answer.details["picked"] == [0]
    assert answer.details["right"] == 0


def test_best_of_chunks_is_undefined_where_the_answer_takes_a_second_turn(scripted):
    """The first turn's reasoning is not what the metric scores."""
    task = replace(TASK, second=TASK)
    with pytest.raises(Undefined, match="two turns"):
        BestOfChunks(scripted(say=right_in("ff"))).answer(CONTEXT, "q", example=example(), task=task)


def test_best_of_chunks_can_carry_oprms_wording(scripted):
    engine = scripted(say=right_in())
    BestOfChunks(engine, clause="all").answer(CONTEXT, "q", example=example(), task=TASK)
    assert all(text.endswith("q or Error") for text in engine.of("decode"))


@pytest.mark.parametrize(("window", "cut"), [(11, False), (10, True)])
def test_where_every_chunk_is_decoded_a_cut_of_one_of_them_is_recorded(scripted, window, cut):
    task = Task("t", "", " {question}", "value", 1)
    engine = scripted(
        window=window, chunk_size=6
    )  # <s> <user> aa bb cc dd ee ff q <reply>, and one new token
    assert BestOfChunks(engine).answer(CONTEXT, "q", example=example(), task=task).truncated is cut
    assert OPRM(engine).answer(CONTEXT, "q", task=replace(task, gather="each")).truncated is cut


def test_best_of_chunks_holds_one_micro_batch_at_a_time(scripted):
    engine = scripted(say=right_in(), batch_rows=1)
    BestOfChunks(engine).answer(CONTEXT, "q", example=example(), task=TASK)
    assert engine.states_held == [0, 0, 0]


def test_best_of_chunks_decodes_each_row_as_if_it_were_read_alone(mamba):
    context = " ".join(f"w{(7 * place) % 57}" for place in range(30))
    ids = [mamba.encode(PLAIN_QA.prompt(" ".join(context.split()[s : s + 12]), "w1 ?")) for s in (0, 12, 24)]
    alone = [mamba.generate(row, 32, stop=("\n",)) for row in ids]
    assert len(set(alone)) > 1
    for text in alone:
        word = text.split()[0]
        key = Example("e", context, "w1 ?", (word,), 30, "all", choices=(word,))
        answer = BestOfChunks(mamba).answer(context, "w1 ?", example=key)
        assert answer.text == next(text for text in alone if PLAIN_QA.score(text, key) == 1.0)
