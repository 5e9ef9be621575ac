"""What of a chunk is shown to the reader that ranks: the window that BM25 finds best, and what fits a short window."""

from __future__ import annotations

import pytest

from models.specs import ReaderError
from retrievers.passages import best_windows, fit_passages


def test_a_chunk_that_matches_nothing_is_shown_by_its_beginning(scripted_judge, chunks):
    engine, texts = scripted_judge(None), chunks(" a b c d e f", " where")
    assert best_windows(engine, "where", texts, 4) == ["a b c d", "where"]
    assert best_windows(engine, "where", texts, 9) == ["a b c d e f", "where"]


def fit(engine, chunks, prompt, question="where"):
    passages = [chunk.text for chunk in chunks]
    return fit_passages(engine, question, chunks, passages, lambda text: engine.count_tokens(prompt(text)))


def test_passages_that_fit_are_handed_back_as_they_are(scripted_judge, chunks):
    texts = chunks(" a b c ", "where ")
    for window in (None, 6):
        engine = scripted_judge(None, window=window)
        assert fit(engine, texts, lambda text: text + " 1 2") == ([" a b c ", "where "], False)


@pytest.mark.parametrize(
    ("window", "passages"),
    [
        (9, ["a b c where d e f", "x y"]),
        (5, ["b c where", "x y"]),
        (4, ["c where", "x y"]),
    ],
)
def test_every_chunk_is_shown_by_its_best_window_of_one_length_that_fits(
    scripted_judge, chunks, window, passages
):
    engine, texts = scripted_judge(None, window=window), chunks(" a b c where d e f g h i", " x y")
    assert fit(engine, texts, lambda text: f"{text} 1 2") == (passages, True)


def test_a_passage_that_comes_out_longer_is_cut_once_more(scripted_judge, chunks):
    engine = scripted_judge(None, window=12)
    texts = chunks(" a b c d e f g h i j k l m n")
    longer = engine.count_tokens
    engine.count_tokens = lambda text: longer(text) + (longer(text) > 5)  # a token more than it has offsets
    (passage,), cut = fit(engine, texts, lambda text: f"{text} 1 2")
    assert (passage, cut) == ("a b c d e f g h i", True)


@pytest.mark.parametrize("window", [1, 2, 3])
def test_a_window_that_the_prompt_fills_is_refused(scripted_judge, chunks, window):
    engine = scripted_judge(None, window=window)
    with pytest.raises(ReaderError, match=f"window of {window} tokens has no room for a passage") as refused:
        fit(engine, chunks("", " a b c"), lambda text: text + " 1 2")
    assert "\n" not in str(refused.value)
    with pytest.raises(ReaderError, match="no room"):
        fit(engine, chunks("", ""), lambda text: text + " 1 2 3 4")
    assert fit(engine, [], lambda text: text + " 1 2") == ([], False)
