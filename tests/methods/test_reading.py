"""What every method shares (prompts, the window's cut, chunks), and the methods that choose blindly."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.base import Task
from methods import find
from methods.base import fit, generate, tail_tokens
from methods.closed_book import ClosedBook
from methods.full import Full
from methods.random_chunk import RandomChunk
from methods.truncate import Truncate

CONTEXT = "a b c d e f g h i j"
BARE = Task("bare", "", " {question}{clause}", "value", 4, no_answer_clause=" or Error", chat=False)


def test_full_reads_the_whole_context_and_picks_nothing(scripted):
    engine = scripted()
    answer = Full(engine).answer(CONTEXT, "q", task=BARE)
    assert engine.of("generate") == [CONTEXT + " q"]
    assert answer.spans is None
    assert not answer.truncated


def test_the_clause_reaches_other_methods_than_oprm_only_if_all_carry_it(scripted):
    for method in (Full, Truncate, RandomChunk):
        for clause, carried in (("oprm", False), ("none", False), ("all", True)):
            engine = scripted()
            method(engine, clause=clause).answer(CONTEXT, "q", task=BARE)
            assert engine.of("generate")[0].endswith(" or Error") is carried


@pytest.mark.parametrize(
    "method",
    [
        *("full", "truncate", "random_chunk", "rag", "iterative_summary"),
        *("oracle_chunk", "best_of_chunks", "oprm"),
    ],
)
def test_an_unknown_clause_is_refused(scripted, method):
    with pytest.raises(ValueError, match="clause='yes' is unknown: expected oprm or all or none"):
        find(method)(scripted(), clause="yes")


def test_a_prompt_goes_in_the_chat_turn_only_if_the_task_wants_it(scripted):
    engine = scripted()
    plain, chat = (fit(engine, replace(BARE, chat=chat), CONTEXT)[0] for chat in (False, True))
    assert plain == engine.encode(CONTEXT)
    assert chat == engine.encode(CONTEXT, chat=True) != plain


def test_a_missing_question_is_refused(scripted):
    with pytest.raises(ValueError, match="needs a question"):
        Full(scripted()).answer(CONTEXT, "", task=BARE)


def test_a_reader_without_a_window_is_never_cut(scripted):
    engine = scripted(window=None)
    ids, cut = fit(engine, BARE, "w " * 5000)
    assert len(ids) == 5001
    assert not cut


def test_a_prompt_that_just_fits_the_window_beside_the_answer_is_not_cut(scripted):
    engine = scripted(window=16)  # 4 new tokens, a start token, 10 of context and 1 of question
    assert not Full(engine).answer(CONTEXT, "q", task=BARE).truncated
    assert Full(scripted(window=15)).answer(CONTEXT, "q", task=BARE).truncated


def test_beyond_the_window_the_ends_of_the_prompt_are_kept_and_then_wrapped(scripted):
    engine = scripted(window=14)  # room for 10: two of the chat turn, four of each end
    answer = generate(engine, replace(BARE, chat=True), CONTEXT, "q")
    # the start token is one of the first half's four; the halves are joined by nothing, as LongBench does
    assert engine.of("generate") == ["a b ch i j q"]
    assert answer.truncated
    ids, _ = fit(engine, replace(BARE, chat=True), CONTEXT + " q")
    assert engine.ids["<user>"] == ids[1]
    assert engine.ids["<reply>"] == ids[-1]
    assert len(ids) <= 10


def test_text_that_grows_when_it_is_encoded_again_still_fits_the_window(scripted):
    engine = scripted(window=14)
    decode = engine.text
    engine.text = lambda ids: decode(ids).replace(" ", " . ")
    ids, cut = fit(engine, BARE, CONTEXT)
    assert cut
    assert 1 < len(ids) <= 10


@pytest.mark.parametrize(("more", "length"), [(1, 9), (2, 10)])
def test_a_cut_that_comes_out_longer_is_cut_by_no_more_than_it_takes(scripted, more, length):
    """Room for 10: the halves of 4 and 4 words with a start token, or 3 and 3."""
    engine = scripted(window=14)
    decode = engine.text
    engine.text = lambda ids: decode(ids) + " ." * more if engine.ids["<s>"] in ids else " " + decode(ids)
    ids, _ = fit(engine, BARE, CONTEXT)
    assert len(ids) == length


def test_a_window_too_short_for_any_prompt_is_an_error(scripted):
    with pytest.raises(ValueError, match="window of 3 tokens"):
        fit(scripted(window=3), replace(BARE, chat=True), CONTEXT)


def test_a_task_that_allows_longer_answers_than_the_window_leaves_the_prompt_half_of_it(scripted):
    endless = replace(BARE, max_new_tokens=30_000)
    ids, cut = fit(scripted(window=16), endless, CONTEXT)
    assert (1 < len(ids) <= 8, cut) == (True, True)
    assert fit(scripted(window=22), endless, CONTEXT) == fit(scripted(window=None), endless, CONTEXT)


@pytest.mark.parametrize("context", ["a b", "a #", "a @", "", "a q or Error"])
def test_the_tail_is_counted_with_its_clause_and_its_chat_turn_and_is_never_nothing(scripted, context):
    engine = scripted()
    for chat, clause, tokens in ((False, False, 1), (False, True, 3), (True, False, 2), (True, True, 4)):
        assert tail_tokens(engine, replace(BARE, chat=chat), context, "q", clause=clause) == tokens
    assert tail_tokens(engine, replace(BARE, before="{question} ", after=""), context, "q") == 1


def test_closed_book_reads_nothing_of_the_context(scripted):
    engine = scripted()
    ClosedBook(engine).answer("secret", "who ?")
    assert "secret" not in engine.of("generate")[0]
    assert "who ?" in engine.of("generate")[0]


@pytest.mark.parametrize(
    ("options", "read", "spans"),
    [
        ({"keep": "head"}, "a b c d", ((0, 7),)),
        ({"keep": "tail"}, "g h i j", ((11, 19),)),
        ({"keep": "ends"}, "a b \n \n i j", ((0, 3), (15, 19))),
        ({"keep": "ends", "budget": 5}, "a b \n \n h i j", ((0, 3), (13, 19))),
        ({"keep": "tail", "budget": 1}, "j", ((17, 19),)),
        ({"keep": "ends", "budget": 1}, "j", ((17, 19),)),
        ({"keep": "ends", "budget": 10}, CONTEXT, ((0, 19),)),
        ({"keep": "ends", "budget": 99}, CONTEXT, ((0, 19),)),
    ],
)
def test_truncate_keeps_the_named_part_within_the_budget(scripted, options, read, spans):
    engine = scripted(chunk_size=4)
    answer = Truncate(engine, **options).answer(CONTEXT, "q", task=BARE)
    assert engine.of("generate") == [read + " q"]
    assert answer.spans == spans
    assert answer.details == {"tokens": 10, "kept": sum(word.isalpha() for word in read.split())}


def test_truncate_of_an_empty_context_reads_nothing(scripted):
    assert Truncate(scripted()).answer("", "q", task=BARE).details == {"tokens": 0, "kept": 0}


@pytest.mark.parametrize("options", [{"keep": "middle"}, {"budget": 0}])
def test_truncate_refuses_what_it_cannot_do(scripted, options):
    with pytest.raises(ValueError, match="expected"):
        Truncate(scripted(), **options)


def draw(engine, context=CONTEXT, question="q", **options):
    return RandomChunk(engine, **options).answer(context, question, task=BARE)


def test_random_chunk_draws_the_same_chunk_for_the_same_example_and_seed(scripted):
    assert draw(scripted()) == draw(scripted())
    assert draw(scripted(), seed=0).details["picked"] == [0]  # fixed for good: the draw is part of the record


def test_random_chunk_draws_evenly_over_questions_contexts_and_seeds(scripted):
    engine = scripted()
    for draws in (
        [draw(engine, question=f"q{n}") for n in range(90)],
        [draw(engine, context=f"{CONTEXT} {n}") for n in range(90)],
        [draw(engine, seed=n) for n in range(90)],
    ):
        picked = [answer.details["picked"][0] for answer in draws]
        assert all(15 <= picked.count(chunk) <= 45 for chunk in range(3))


def test_random_chunk_reads_the_chunk_that_it_drew(scripted):
    engine = scripted()
    answer = draw(engine)
    ((start, end),) = answer.spans
    assert engine.of("generate") == [CONTEXT[start:end].strip() + " q"]
    assert answer.details == {"chunks": 3, "picked": [0], "flags": []}


def test_chunks_have_the_readers_size_and_overlap_unless_they_are_given(scripted):
    engine = scripted(chunk_size=4, overlap=1)
    assert draw(engine).details["chunks"] == 3
    assert draw(engine, overlap=0, chunk_size=2).details["chunks"] == 5
    assert draw(engine, chunk_size=10).details["chunks"] == 1
    assert draw(engine, chunk_size=1).details["chunks"] == 10  # the reader's overlap gives way to the size


@pytest.mark.parametrize(
    "method", ["oprm", "rag", "random_chunk", "iterative_summary", "oracle_chunk", "best_of_chunks"]
)
@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"chunk_size": 0}, "chunk size 0 is too small"),
        ({"chunk_size": -5}, "chunk size -5 is too small"),
        ({"overlap": -1}, "overlap -1 does not fit chunks of 4 tokens"),
        ({"overlap": 4}, "overlap 4 does not fit chunks of 4 tokens"),
    ],
)
def test_chunks_that_cannot_be_cut_are_refused_when_the_method_is_made(scripted, method, options, part):
    with pytest.raises(ValueError, match=part):
        find(method)(scripted(chunk_size=4, overlap=1), **options)


def test_an_empty_context_is_one_flagged_chunk(scripted):
    answer = draw(scripted(), context="   ")
    assert answer.details == {"chunks": 1, "picked": [0], "flags": ["empty_context"]}
