"""The cross-encoder: long chunks by their best window, and what it cannot read."""

from __future__ import annotations

import pytest

from retrievers import build
from retrievers.encoders import EncoderError

sentence_transformers = pytest.importorskip("sentence_transformers")


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_scores_are_the_models_own_for_short_chunks(host, chunks, cross_encoder):
    texts = ["w1 w2", "w3 alden", "w4"]
    ranking = build(f"cross_encoder(model={cross_encoder})", host).rank("alden ?", chunks(*texts))
    own = sentence_transformers.CrossEncoder(cross_encoder, device="cpu")
    assert ranking.scores == pytest.approx(
        own.predict([("alden ?", text) for text in texts]).tolist(), abs=1e-5
    )
    assert ranking.scores[ranking.order[0]] == max(ranking.scores)
    assert build(f"cross_encoder(model={cross_encoder})", host).weights == {cross_encoder: ""}
    assert host.counted == [(2 + 2 + 3) + (2 + 2 + 3) + (2 + 1 + 3)]


def test_a_long_chunk_scores_as_its_best_window_and_its_end_counts(host, chunks, cross_encoder):
    words = [f"w{number % 56}" for number in range(40)]
    ranker = build(f"cross_encoder(model={cross_encoder},window=16)", host)
    ranking = ranker.rank("alden ?", chunks(" ".join(words)))
    starts = [0, 8, 16, 24]
    alone = ranker.rank("alden ?", chunks(*(" ".join(words[start : start + 16]) for start in starts)))
    assert ranking.flags["windows"] == [4]
    assert ranking.scores == pytest.approx([max(alone.scores)], abs=1e-5)


def test_empty_chunks_come_last(host, chunks, cross_encoder):
    ranker = build(f"cross_encoder(model={cross_encoder})", host)
    assert ranker.rank("w1", chunks("", "w2")).order == [1, 0]
    assert ranker.rank("w1", []).order == []


def test_question_and_window_fit_together_or_the_question_is_refused(host, chunks, cross_encoder):
    ranker = build(f"cross_encoder(model={cross_encoder})", host)
    long = " ".join(f"w{number % 56}" for number in range(60))
    ranker.rank(" ".join(["w1"] * 40), chunks(long, "w2"))
    assert max(host.counted) < 64 * 10
    with pytest.raises(EncoderError, match="the question has 53 tokens"):
        ranker.rank(" ".join(["w1"] * 50), chunks(long, "w2"))


def test_a_classifier_of_several_labels_is_refused(host, classifier):
    with pytest.raises(EncoderError, match="3 numbers a pair: expected a reranker"):
        build(f"cross_encoder(model={classifier})", host)


def test_a_missing_model_and_a_window_too_small_are_one_line(host):
    with pytest.raises(EncoderError, match="cannot load the encoder nobody/reranker"):
        build("cross_encoder(model=nobody/reranker)", host)
    with pytest.raises(ValueError, match="window=3 is too small"):
        build("cross_encoder(window=3)", host)
