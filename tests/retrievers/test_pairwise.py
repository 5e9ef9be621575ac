"""PRP: the rules, the algorithms and their exact number of comparisons, what the judge is shown, what is logged."""

from __future__ import annotations

import random
import re
from statistics import fmean

import pytest

from benchmarks.base import stable_seed
from models.specs import ReaderError
from retrievers import build, pairwise
from retrievers.judge import Judge, Reply
from retrievers.pairwise import PRP, Verdict, pair_prompt
from retrievers.sorting import all_pairs, heapsort, sliding

QUESTION = "where ?"


def worth(text):
    """The relevance that a passage is given in these tests: the number after its r."""
    return float(re.search(r"r(\d+)", text)[1])


def taste(slope=1.0, bias=0.0, noise=0.0):
    """A judge's gap: relevance, a liking for the label A, and noise of its own for every ordered pair."""

    def gap(a, b):
        drawn = random.Random(stable_seed(a, b)).gauss(0.0, noise) if noise else 0.0
        return slope * (worth(a) - worth(b)) + bias + drawn

    return gap


def worths(*numbers):
    return [f"r{number} text" for number in numbers]


@pytest.mark.parametrize("rule", ["soft", "hard"])
@pytest.mark.parametrize("algorithm", ["allpair", "heapsort", "sliding"])
def test_a_perfect_judge_finds_the_order(scripted_judge, chunks, rule, algorithm):
    numbers = [3, 8, 1, 9, 0, 5]
    prp = PRP(scripted_judge(taste()), rule=rule, algorithm=algorithm, k=6)
    ranking = prp.rank(QUESTION, chunks(*worths(*numbers)))
    assert [numbers[i] for i in ranking.order] == sorted(numbers, reverse=True)
    assert sorted(range(6), key=lambda i: -ranking.scores[i]) == ranking.order
    assert ranking.flags["consistency"] == 1.0


def test_a_liking_for_one_label_cancels_under_soft_and_ties_everything_under_hard(scripted_judge, chunks):
    numbers, biased = [3, 8, 1, 9, 0], taste(bias=50.0)
    soft = PRP(scripted_judge(biased)).rank(QUESTION, chunks(*worths(*numbers)))
    fair = PRP(scripted_judge(taste())).rank(QUESTION, chunks(*worths(*numbers)))
    assert soft.scores == pytest.approx(fair.scores)
    for algorithm in ("allpair", "sliding", "heapsort"):
        hard = PRP(scripted_judge(biased), rule="hard", algorithm=algorithm, k=5)
        ranking = hard.rank(QUESTION, chunks(*worths(*numbers)))
        assert ranking.order == [0, 1, 2, 3, 4]
        assert (ranking.flags["consistency"], ranking.flags["a_share"]) == (0.0, 1.0)


def test_noise_lowers_the_consistency_and_both_gaps_are_recorded(scripted_judge, chunks):
    ranking = PRP(scripted_judge(taste(noise=20.0))).rank(QUESTION, chunks(*worths(*range(8))))
    assert 0.2 < ranking.flags["consistency"] < 0.9
    pairs = ranking.flags["pairs"]
    assert len(pairs) == 28
    agreed = [forward * backward < 0 for _, _, forward, backward in pairs]
    assert ranking.flags["consistency"] == pytest.approx(fmean(agreed), abs=0.001)
    gap = taste(noise=20.0)
    assert pairs[0] == [0, 1, round(gap("r0 text", "r1 text"), 3), round(gap("r1 text", "r0 text"), 3)]


def test_an_order_that_names_neither_passage_agrees_with_nothing():
    even, first = Reply(0.0, invalid=False), Reply(2.0, invalid=False)
    assert not Verdict(first, even).consistent
    assert (Verdict(first, even).score("hard"), Verdict(first, even).score("soft")) == (0.0, 1.0)


def test_the_record_of_many_pairs_is_cut(scripted_judge, chunks, monkeypatch):
    monkeypatch.setattr(pairwise, "RECORDED", 4)
    flags = PRP(scripted_judge(taste())).rank(QUESTION, chunks(*worths(*range(5)))).flags
    assert (len(flags["pairs"]), flags["prompts"]) == (4, 20)


def test_points_are_sigmoids_under_soft_and_wins_and_halves_under_hard(scripted_judge, chunks):
    texts = chunks(*worths(2, 1, 1))
    soft = PRP(scripted_judge(taste())).rank(QUESTION, texts)
    assert soft.scores == pytest.approx([2 * 0.7310586, 0.2689414 + 0.5, 0.2689414 + 0.5])
    hard = PRP(scripted_judge(taste()), rule="hard").rank(QUESTION, texts)
    assert hard.scores == [2.0, 0.5, 0.5]
    assert hard.order == [0, 1, 2]
    assert not hard.flags["tie"]
    assert PRP(scripted_judge(taste())).rank(QUESTION, chunks(*worths(2, 2))).flags["tie"]


@pytest.mark.parametrize("algorithm", ["heapsort", "sliding"])
def test_a_sort_has_no_best_score_to_share_and_says_nothing_of_a_tie(scripted_judge, chunks, algorithm):
    ranking = PRP(scripted_judge(taste()), algorithm=algorithm).rank(QUESTION, chunks(*worths(2, 2)))
    assert (ranking.order, "tie" in ranking.flags) == ([0, 1], False)


@pytest.mark.parametrize("n", [2, 5, 10])
def test_all_pairs_and_sliding_take_exactly_as_many_comparisons_as_they_should(scripted_judge, chunks, n):
    texts = chunks(*worths(*random.Random(n).sample(range(n), n)))
    flags = PRP(scripted_judge(taste())).rank(QUESTION, texts).flags
    assert flags["comparisons"] == n * (n - 1) // 2
    assert flags["prompts"] == n * (n - 1)
    for k in range(1, n):
        flags = PRP(scripted_judge(taste()), algorithm="sliding", k=k).rank(QUESTION, texts).flags
        assert flags["comparisons"] == k * n - k * (k + 1) // 2


@pytest.mark.parametrize(
    ("n", "k", "expected"),
    [
        (10, 1, 13),
        (10, 5, 30),
        (20, 1, 30),
        (20, 5, 56),
        (50, 1, 84),
        (50, 5, 121),
        (100, 1, 177),
        (100, 5, 222),
    ],
)
def test_heapsort_takes_about_as_many_comparisons_as_were_measured_elsewhere(n, k, expected):
    rng, counts = random.Random(n * k), []
    for _ in range(200):
        asked, places = [], rng.sample(range(n), n)

        def lead(a, b, asked=asked, places=places):
            asked.append((a, b))
            return places[b] - places[a]

        order = heapsort(n, k, lead)
        assert [places[i] for i in order[:k]] == list(range(k))
        counts.append(len(asked))
    assert fmean(counts) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("sort", [heapsort, sliding])
@pytest.mark.parametrize("k", [1, 3, 9])
def test_a_sort_of_ties_keeps_the_initial_order_and_always_returns_everything(sort, k):
    assert sort(7, k, lambda a, b: 0) == list(range(7))
    assert sorted(sort(7, k, lambda a, b: a - b)) == list(range(7))
    assert sort(7, 7, lambda a, b: a - b) == [6, 5, 4, 3, 2, 1, 0]
    assert sort(1, k, lambda a, b: 1) == [0]
    assert sort(0, k, lambda a, b: 1) == []
    assert all_pairs(3) == [(0, 1), (0, 2), (1, 2)]


@pytest.mark.parametrize("algorithm", ["heapsort", "sliding"])
def test_no_pair_is_read_twice(scripted_judge, chunks, algorithm):
    judge = scripted_judge(taste())
    texts = chunks(*worths(*random.Random(3).sample(range(9), 9)))
    flags = PRP(judge, algorithm=algorithm, k=5).rank(QUESTION, texts).flags
    assert len(judge.read) == len(set(judge.read)) == flags["prompts"]
    assert flags["prompts"] < 2 * flags["comparisons"]
    assert flags["judge_tokens"] == sum(judge.lengths)


@pytest.mark.parametrize(
    ("options", "settled"),
    [
        ({"algorithm": "heapsort"}, 1),
        ({"algorithm": "sliding", "k": 3}, 3),
        ({"algorithm": "sliding", "k": 9, "m": 4}, 4),
        ({"algorithm": "allpair", "m": 5}, 5),
        ({"algorithm": "allpair"}, 6),
    ],
)
def test_the_ranking_says_how_many_places_the_judge_has_settled(scripted_judge, chunks, options, settled):
    numbers = [1, 4, 5, 2, 3, 6]
    ranking = PRP(scripted_judge(taste()), **options).rank(QUESTION, chunks(*worths(*numbers)))
    assert ranking.settled == settled
    found = [numbers[i] for i in ranking.order[:settled]]
    assert found == sorted(numbers[: options.get("m", 6)], reverse=True)[:settled]


def test_only_the_best_m_by_bm25_are_judged_and_the_others_follow_in_its_order(scripted_judge, chunks):
    texts = chunks("r1 x", "r9 x", "r2 where x", "r3 where", "r0 x", "r5 where where")
    judge = scripted_judge(taste())
    ranking = PRP(judge, m=3).rank("where", texts)
    assert ranking.order == [5, 3, 2, 0, 1, 4]
    assert ranking.scores[0] > ranking.scores[1] > ranking.scores[4]
    assert not any("r9" in prompt for prompt in judge.read)
    assert {i for i, *_ in ranking.flags["pairs"]} <= {2, 3, 5}
    assert PRP(judge, m=2).rank("where", texts).order == [5, 3, 2, 0, 1, 4]


def test_without_a_shared_word_the_judge_still_decides_and_it_is_flagged(scripted_judge, chunks):
    ranking = PRP(scripted_judge(taste())).rank("zebra", chunks(*worths(1, 2)))
    assert ranking.order == [1, 0]
    assert ranking.flags["fallback"]


def test_a_long_chunk_is_shown_by_its_best_window_and_every_prompt_is_whole_and_of_one_length(
    scripted_judge, chunks
):
    def chunk(number, place):
        words = [f"x{i}" for i in range(40)]
        words[place] = "where"
        words[place + 1] = f"r{number}"
        return " " + " ".join(words)

    judge = scripted_judge(taste())
    ranking = PRP(judge, passage_tokens=10).rank("where y", chunks(chunk(1, 36), chunk(2, 3), chunk(3, 20)))
    assert ranking.order == [2, 1, 0]
    assert len(set(judge.lengths)) == 1
    assert not any(re.search(r"x0 .*x39", prompt) for prompt in judge.read)
    assert judge.lengths[0] < 40 + 2 * 10
    assert all(prompt.endswith("question: where y Answer:") for prompt in judge.read)


@pytest.mark.parametrize("labels", [None, {" A": [" ", "a1", "a2"], " B": [" ", "b"]}])
@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("algorithm", ["allpair", "sliding"])
def test_passages_are_cut_to_the_judges_window_and_flagged(scripted_judge, chunks, labels, chat, algorithm):
    def chunk(number):
        return " " + " ".join([*(f"x{i}" for i in range(30)), f"r{number}", "where", f"r{number}"])

    texts, options = chunks(chunk(1), chunk(3), chunk(2)), {"labels": labels, "chat": chat}
    free = scripted_judge(taste(), **options)
    whole = PRP(free, algorithm=algorithm).rank("where y", texts)
    assert not whole.flags["passage_cut"]
    longest = max(free.lengths)
    for window in (longest, longest - 1, longest - 24):
        judge = scripted_judge(taste(), window=window, **options)
        ranking = PRP(judge, algorithm=algorithm).rank("where y", texts)
        assert ranking.flags["passage_cut"] == (window < longest)
        assert ranking.order == whole.order
        assert window - 3 < max(judge.lengths) <= window
        assert all("question: where y Answer:" in prompt for prompt in judge.read)


def test_a_window_without_room_for_two_passages_is_refused_in_one_line(scripted_judge, chunks):
    texts = chunks(" x x x r1", " x x x r2")
    for window in (5, 18):
        with pytest.raises(ReaderError, match=f"window of {window} tokens has no room .*another retriever"):
            PRP(scripted_judge(taste(), window=window)).rank("where y", texts)


def test_an_answer_that_would_be_no_label_is_counted_as_invalid(scripted_judge, chunks):
    texts = chunks(*worths(1, 2))
    assert PRP(scripted_judge(taste(), other=50.0)).rank(QUESTION, texts).flags["invalid"] == 1.0
    assert PRP(scripted_judge(taste())).rank(QUESTION, texts).flags["invalid"] == 0.0


@pytest.mark.parametrize("algorithm", ["allpair", "heapsort", "sliding"])
def test_one_chunk_or_none_is_not_judged(scripted_judge, chunks, algorithm):
    judge = scripted_judge(taste())
    assert PRP(judge, algorithm=algorithm).rank(QUESTION, chunks("r1")).order == [0]
    ranking = PRP(judge, algorithm=algorithm).rank(QUESTION, [])
    assert (ranking.order, ranking.scores, judge.read) == ([], [], [])
    assert "consistency" not in ranking.flags


def test_labels_of_several_tokens_are_scored_by_their_sum(scripted_judge, chunks):
    cut = {" A": [" ", "a1", "a2"], " B": [" ", "b"]}
    judge = scripted_judge(taste(), labels=cut)
    assert [judge.text(label) for label in Judge(judge).labels] == [" a1a2", " b"]
    ranking = PRP(judge).rank(QUESTION, chunks(*worths(1, 5, 3)))
    assert ranking.order == [1, 2, 0]
    assert ranking.flags["judge_tokens"] == sum(judge.lengths)
    assert len(judge.lengths) == 2 * ranking.flags["prompts"]  # the labels differ before their last token


def test_a_tokenizer_that_joins_a_label_to_the_cue_is_refused(scripted_judge):
    judge = scripted_judge(taste())
    judge.encode = lambda text, chat=False: [judge.ids[text]] * (1 + text.endswith((" A", " B")))
    with pytest.raises(ReaderError, match="joins ' A' to what stands before it"):
        Judge(judge)


def test_a_chat_model_is_asked_in_a_turn_and_its_answer_begun(scripted_judge, chunks):
    judge = scripted_judge(taste(), chat=True)
    PRP(judge).rank(QUESTION, chunks(*worths(1, 5)))
    assert all(
        re.fullmatch(r"<user>Passage A.* Answer:<reply>Passage", text, re.DOTALL) for text in judge.read
    )


def test_a_tokenizer_that_cannot_tell_the_labels_apart_is_refused_when_the_judge_is_made(scripted_judge):
    with pytest.raises(ReaderError, match="A and B alike"):
        PRP(scripted_judge(taste(), labels={" A": ["x"], " B": ["x"]}))


def test_a_batch_of_pairs_is_judged_as_each_pair_alone(mamba):
    words = [f"w{number}" for number in range(40)]
    prompts = [pair_prompt(words[i], words[i + 8], words[i + 16]) for i in range(8)]
    together, tokens = Judge(mamba).replies(prompts)
    alone = [Judge(mamba).replies([prompt])[0][0] for prompt in prompts]
    assert [reply.gap for reply in together] == pytest.approx([reply.gap for reply in alone], abs=1e-4)
    assert len({round(reply.gap, 3) for reply in together}) > 4
    assert tokens == sum(len(mamba.encode(prompt)) for prompt in prompts)


@pytest.mark.parametrize("labels", [("A", "B"), ("w1 w2 w3", "w1 w4")])
def test_a_gap_is_the_difference_of_the_readers_own_log_probabilities(mamba, labels, monkeypatch):
    monkeypatch.setattr("retrievers.judge.LABELS", labels)
    prompt = pair_prompt("w1 w2", "w3", "w4")
    a, b = (mamba.score(mamba.encode(prompt), mamba.encode(label)) for label in labels)
    assert Judge(mamba).replies([prompt])[0][0].gap == pytest.approx(a - b, abs=1e-4)


def test_braces_in_a_passage_are_harmless():
    assert pair_prompt("{b}", "{question}", "{a}") == (
        "Passage A: {b}\n\nPassage B: {question}\n\n"
        "Which passage is more relevant to the question: {a} Answer:"
    )


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("prp(m=1)", "m=1"),
        ("prp(k=0)", "k=0"),
        ("prp(passage_tokens=1)", "passage_tokens=1"),
        ("prp(judge=other)", "expected one of rule"),
    ],
)
def test_an_option_out_of_its_range_is_refused(scripted_judge, spec, part):
    with pytest.raises(ValueError, match=part):
        build(spec, scripted_judge(taste()))


@pytest.mark.parametrize(
    ("option", "part"),
    [({"rule": "mild"}, "soft or hard"), ({"algorithm": "bubble"}, "allpair or heapsort or sliding")],
)
def test_a_word_that_is_no_choice_is_refused_without_a_spec_too(scripted_judge, option, part):
    with pytest.raises(ValueError, match=f"is unknown: expected {part}$"):
        PRP(scripted_judge(taste()), **option)
