"""The question's likelihood against the reader's own score, chunk by chunk."""

from __future__ import annotations

import pytest

from models.specs import ReaderError
from retrievers import build
from retrievers.query_likelihood import passage_prompt


def test_scores_are_the_mean_log_probability_of_the_questions_tokens(mamba, chunks):
    texts = ["w1 w2 w3", "w4 w5", "w6 w7 w8", "w9"]
    ranking = build("query_likelihood", mamba).rank("w1 w9 w2", chunks(*texts))
    expected = [
        mamba.score(mamba.encode(passage_prompt(text)), mamba.encode("w1 w9 w2")) / 3 for text in texts
    ]
    assert ranking.scores == pytest.approx(expected, abs=1e-4)
    assert ranking.order == sorted(range(4), key=lambda i: -expected[i])
    assert len({round(score, 3) for score in ranking.scores}) > 2


def test_every_chunk_is_read_once(mamba, chunks):
    texts = ["w1 w2 w3", "w4 w5", "w6 w7 w8"]
    with mamba.meter() as cost:
        build("query_likelihood", mamba).rank("w1 w2", chunks(*texts))
    assert cost.prompt_tokens == sum(len(mamba.encode(f"{passage_prompt(text)} w1 w2")) for text in texts)


@pytest.fixture
def short_window(mamba, monkeypatch):
    """The reader as one that reads 20 tokens."""
    monkeypatch.setattr(mamba, "window", 20)
    return mamba


def test_passages_are_cut_to_the_readers_window_and_flagged(short_window, chunks):
    words = [f"w{number}" for number in range(40)]
    with short_window.meter() as cost:
        ranking = build("query_likelihood", short_window).rank("w20 w21", chunks(" ".join(words), "w1 w2"))
    assert ranking.flags["passage_cut"]
    assert cost.prompt_tokens == 20 + 8  # six around a passage
    question = short_window.encode("w20 w21")
    expected = [
        short_window.score(short_window.encode(passage_prompt(text)), question) / 2
        for text in (" ".join(words[14:28]), "w1 w2")
    ]
    assert ranking.scores == pytest.approx(expected, abs=1e-4)


def test_a_question_as_long_as_the_window_is_refused_in_one_line(short_window, chunks):
    with pytest.raises(ReaderError, match="window of 20 tokens has no room for a passage beside"):
        build("query_likelihood", short_window).rank("w1 " * 20, chunks("w1", "w2"))


def test_equal_chunks_tie_and_no_chunks_are_no_error(mamba, chunks):
    ranker = build("query_likelihood", mamba)
    assert ranker.rank("w1", chunks("w2", "w2")).flags == {"tie": True, "passage_cut": False}
    assert ranker.rank("w1", chunks("", "w2")).order in ([0, 1], [1, 0])
    assert ranker.rank("w1", []).order == []
