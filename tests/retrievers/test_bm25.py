"""BM25's order against the formulas written out, and the traps of a ranking among few chunks."""

from __future__ import annotations

import itertools
import math
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrievers.base import rank
from retrievers.bm25 import BM25, words
from retrievers.chunking import Chunk


def chunks(*texts):
    return [Chunk(0, len(text), text, len(text.split())) for text in texts]


def reference(query, documents):
    """BM25+ as Trotman, Puurula and Burgess 2014 write it, with k1 1.5, b 0.75 and delta 1."""
    count, mean = len(documents), sum(map(len, documents)) / len(documents)
    scores = []
    for document in documents:
        score = 0.0
        for word in query:
            df, tf = sum(word in other for other in documents), document.count(word)
            if df:
                norm = 1.5 * (0.25 + 0.75 * len(document) / mean)
                score += math.log((count + 1) / df) * (1.0 + 2.5 * tf / (norm + tf))
        scores.append(score)
    return scores


DOCUMENTS = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=12), min_size=1, max_size=7)


@given(DOCUMENTS, st.lists(st.sampled_from("abcdefghz"), min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_the_order_agrees_with_the_published_formula(documents, query):
    expected = [0.0] * len(documents)
    if set(query) & {word for document in documents for word in document}:
        expected = reference(query, documents)
    ranking = BM25().rank(" ".join(query), chunks(*(" ".join(document) for document in documents)))
    assert ranking.scores == pytest.approx(expected)
    assert [expected[n] for n in ranking.order] == pytest.approx(sorted(expected, reverse=True))


def test_a_common_word_repeated_without_end_does_not_outweigh_a_rare_one():
    for count in (8, 64, 512):
        texts = ["of " * count, *["of it"] * 8, "anna of " + "it " * (count - 2)]
        assert BM25().rank("anna of", chunks(*texts)).order[0] == 9


@pytest.mark.parametrize("match", [0, 1])
def test_of_two_chunks_the_one_with_the_word_comes_first_where_okapi_ties(match):
    texts = ["the office of Alden is in Oslo", "the garden of Berta is in Rome"]
    question = ["Where is Alden?", "Where is Berta?"][match]
    assert BM25().rank(question, chunks(*texts)).order[0] == match
    assert BM25().rank(question, chunks(*texts)).flags == {"fallback": False, "tie": False}
    okapi = BM25(variant="okapi").rank("Alden" if match == 0 else "Berta", chunks(*texts))
    assert okapi.scores == [0.0, 0.0]
    assert okapi.flags["tie"]
    assert okapi.flags["fallback"]


def test_a_question_without_a_shared_word_falls_back_on_the_documents_order():
    ranking = BM25().rank("zebra?", chunks("a b", "c d", "e f"))
    assert ranking.order == [0, 1, 2]
    assert ranking.scores == [0.0] * 3
    assert ranking.flags["fallback"]


def test_a_word_that_every_chunk_has_is_a_match_and_not_a_fallback():
    ranking = BM25().rank("a", chunks("a b", "a b", "a b c d e f"))
    assert ranking.order == [0, 1, 2]
    assert ranking.flags == {"fallback": False, "tie": True}


@pytest.mark.parametrize("texts", [(), ("",), ("", " "), ("", "alden", "")])
def test_empty_chunks_and_no_chunks_are_ranked_without_dividing_by_zero(texts):
    for variant in ("plus", "okapi"):
        ranking = BM25(variant=variant).rank("alden", chunks(*texts))
        assert sorted(ranking.order) == list(range(len(texts)))
        assert not any(math.isnan(score) for score in ranking.scores)
        if variant != "okapi" and "alden" in texts:
            assert ranking.order[0] == 1


def test_words_are_whole_in_one_case_and_one_unicode_form():
    assert words("A b7, C++ it's ＡＢＣ Straße É e\u0301") == [
        "a",
        "b7",
        "c",
        "it",
        "s",
        "abc",
        "strasse",
        "é",
        "é",
    ]


def test_chinese_japanese_and_korean_are_matched_by_character():
    assert words("東京 office서울カナ2") == ["東", "京", "office", "서", "울", "カ", "ナ", "2"]
    assert BM25().rank("東京", chunks("大阪に住む", "東京に住む")).order[0] == 1


@pytest.mark.parametrize(
    "word",
    [
        "दिल्ली",
        "ক্রিকেট",
        "தமிழ்",
        "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd",  # Hebrew with points
        "\u0645\u064e\u0631\u0652\u062d\u064e\u0628\u064b\u0627",  # Arabic with vowels
        "q\u0307r\u0323s",  # no letter of its own in Unicode
        "\U0001e900\U0001e944\U0001e901",  # beyond the first plane
    ],
)
def test_a_word_is_whole_with_its_marks(word):
    assert words(f"{word}, ({word}) abc—{word}") == [unicodedata.normalize("NFKC", word).casefold()] * 2 + [
        "abc",
        unicodedata.normalize("NFKC", word).casefold(),
    ]


def test_words_of_the_same_letters_with_other_marks_are_no_match():
    right, wrong = "राजधानी दिल्ली में है", "धनी राजा की जान दाल लाल दादा में है " * 3
    assert BM25().rank("राजधानी दिल्ली", chunks(wrong, right)).order[0] == 1
    assert BM25().rank("दिल्ली", chunks("दल लाल", "दाल")).flags["fallback"]


def test_thai_is_matched_by_character_with_its_marks():
    assert words("\u0e1b\u0e35\u0e48\u0e01") == ["\u0e1b\u0e35\u0e48", "\u0e01"]
    assert BM25().rank("กรุงเทพ", chunks("ฉันอยู่ที่เชียงใหม่", "ฉันอยู่ที่กรุงเทพ")).order[0] == 1


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("ジョン・スミス゠キム ー", "ジョンスミスキムー"),
        ("ភ្នំ។ ពេញ៕", "ភ្នំពេញ"),
        ("မင်္ဂလာ။၊", "မင်္ဂလာ"),
        ("บาท฿ ๏๚ ๒", "บาท๒"),
    ],
)
def test_punctuation_of_a_script_without_blanks_is_no_word(text, letters):
    assert "".join(words(text)) == unicodedata.normalize("NFKC", letters)


def test_middle_dots_do_not_outweigh_a_name():
    texts = chunks("アン・リー・オー・カー・キム、", "スミスはパリに住む。")
    assert BM25().rank("ジョン・ポール・スミスの家", texts).order[0] == 1


def test_the_turkish_capital_i_with_a_dot_is_an_i_and_a_variation_selector_nothing():
    assert words("İzmir IZMIR i\u0307zmir") == ["izmir"] * 3
    assert words("葛\U000e0100城 1\ufe0f") == ["葛", "城", "1"]


def test_text_is_matched_by_word_and_not_by_character():
    assert BM25().rank("den", chunks("alden alden den", "deden nedned dendenden")).order[0] == 0
    assert BM25().rank("den", chunks("alden", "nedned")).flags["fallback"]


@pytest.mark.parametrize("variant", ["lucene", "l"])
def test_an_unknown_variant_is_refused(variant):
    with pytest.raises(ValueError, match=r"expected plus or okapi$"):
        BM25(variant=variant)


@given(st.lists(st.sampled_from([0.0, 1.0, 2.5, -1.0]), max_size=20))
@settings(deadline=None)
def test_ranks_fall_by_score_and_ties_keep_the_documents_order(scores):
    order = rank(scores)
    assert sorted(order) == list(range(len(scores)))
    for left, right in itertools.pairwise(order):
        assert scores[left] > scores[right] or (scores[left] == scores[right] and left < right)


def test_a_score_that_is_not_a_number_is_refused():
    with pytest.raises(ValueError, match="not a number"):
        rank([1.0, math.nan])
