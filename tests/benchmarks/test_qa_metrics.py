"""F1 and exact match in their variants: ``python -m pytest tests/benchmarks/test_qa_metrics.py``."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import qa_metrics
from benchmarks.metrics import score
from benchmarks.qa_metrics import (
    MissingPackage,
    Overlap,
    character_f1_chinese,
    exact_match,
    hotpotqa_f1,
    hotpotqa_overlap,
    musique_f1,
    qa_f1,
    qa_f1_chinese,
)

STEADY = settings(derandomize=True, deadline=None)
texts = st.lists(st.sampled_from(["the", "a", "cat", "Dog", "yes", "no", "!", "3.5"]), max_size=6).map(
    " ".join
)
F1 = (qa_f1, hotpotqa_f1, musique_f1, exact_match, character_f1_chinese)


@STEADY
@given(first=texts, second=texts)
def test_every_f1_is_symmetric_and_between_0_and_1(first, second):
    for metric in F1:
        # (2pr)/(p+r) may differ in its last bit when p and r change places.
        assert metric(first, second) == pytest.approx(metric(second, first))
        assert 0.0 <= metric(first, second) <= 1.0


@STEADY
@given(text=texts)
def test_a_text_has_one_with_itself_unless_nothing_is_left_of_it(text):
    left = bool(qa_metrics.normalise(text))
    assert qa_f1(text, text) == hotpotqa_f1(text, text) == float(left)
    assert musique_f1(text, text) == exact_match(text, text) == 1.0


@pytest.mark.parametrize(
    ("prediction", "answer", "longbench", "hotpotqa", "musique"),
    [
        ("The U.S.A.", "usa", 1.0, 1.0, 1.0),
        ("the cat sat", "a cat", 2 / 3, 2 / 3, 2 / 3),
        ("cat cat dog", "cat dog dog", 2 / 3, 2 / 3, 2 / 3),
        ("yes it is", "yes", 0.5, 0.0, 0.5),
        ("no", "no way", 2 / 3, 0.0, 2 / 3),
        ("Yes.", "yes", 1.0, 1.0, 1.0),
        ("", "", 0.0, 0.0, 1.0),
        ("the", "a!", 0.0, 0.0, 1.0),
        ("", "cat", 0.0, 0.0, 0.0),
    ],
)
def test_the_variants_differ_in_yes_and_no_and_in_nothing(prediction, answer, longbench, hotpotqa, musique):
    assert qa_f1(prediction, answer) == pytest.approx(longbench)
    assert hotpotqa_f1(prediction, answer) == pytest.approx(hotpotqa)
    assert musique_f1(prediction, answer) == pytest.approx(musique)


def test_articles_go_after_punctuation_so_that_a_hyphen_joins_one_to_its_word():
    assert qa_metrics.normalise("An a-b, THE  end; a.") == "ab end"


def test_precision_and_recall_are_the_prediction_s_and_the_answer_s():
    assert hotpotqa_overlap("red cat", "red cat dog bird") == Overlap(pytest.approx(2 / 3), 1.0, 0.5)


def test_chinese_characters_count_without_punctuation_but_for_an_opening_mark_that_the_list_lacks():
    assert character_f1_chinese("红楼梦》 A", "红楼 a。") == pytest.approx(6 / 7)
    assert character_f1_chinese("《红楼梦》 A", "红楼 a。") == pytest.approx(6 / 8)


def test_chinese_words_are_jieba_s():
    pytest.importorskip("jieba")
    # jieba 0.42.1 cuts 我 来到 北京 清华大学, and 北京 清华大学.
    assert qa_f1_chinese("我来到北京清华大学", "北京，清华大学。") == pytest.approx(2 / 3)
    assert qa_f1_chinese("北京，清华大学。", "我来到北京清华大学") == pytest.approx(2 / 3)
    assert score("rouge_l_zh", "我来到北京清华大学", ("北京清华大学",)) == 0.6666666622222223


def test_chinese_without_jieba_says_what_to_install(monkeypatch):
    qa_metrics._jieba.cache_clear()
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(MissingPackage, match="pip install jieba"):
        score("rouge_l_zh", "北京", ("北京",))


@pytest.mark.parametrize("word", ["yes", "no", "noanswer"])
def test_hotpotqa_gives_a_whole_answer_no_credit_for_a_part(word):
    assert (
        qa_metrics.hotpotqa_f1(f"{word} indeed", word)
        == qa_metrics.hotpotqa_f1(word, f"{word} indeed")
        == 0.0
    )
    assert qa_metrics.hotpotqa_f1(f"{word}.", word) == 1.0
    assert qa_metrics.qa_f1(f"{word} indeed", word) > 0.5
