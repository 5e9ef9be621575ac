"""Kamradt's needle and the passkeys: ``python -m pytest tests/benchmarks/test_needle_variants.py``."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.base import digest
from benchmarks.haystack import split_sentences
from benchmarks.kamradt import kamradt
from benchmarks.matching import blank_word, keywords
from benchmarks.passkey import passkey
from benchmarks.sources import DataError

GRID = {"lengths": (600, 1500), "depths": (0, 25, 50, 75, 100)}


@pytest.fixture
def texts(tmp_path) -> Path:
    rng = random.Random(5)
    for name in "ba":
        sentences = (
            " ".join(rng.choices(["a", "reader", "holds", "state", "of", "text"], k=rng.choice((4, 12, 18))))
            for _ in range(60)
        )
        text = "\n".join(f"Line {name}{i} says {sentence}." for i, sentence in enumerate(sentences))
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def variants(texts) -> dict[str, Callable]:
    return {
        "kamradt": lambda count, **options: kamradt(count, haystack=texts, **options),
        "noise": lambda count, **options: passkey(count, **options),
        "texts": lambda count, **options: passkey(count, haystack=texts, **options),
        "decimamba": lambda count, **options: passkey(count, variant="decimamba", haystack=texts, **options),
    }


VARIANTS = pytest.mark.parametrize("variant", ["kamradt", "noise", "texts", "decimamba"])


@VARIANTS
def test_the_whole_prompt_fills_its_length_and_never_exceeds_it(variants, variant, any_counter):
    lengths = (2000, 3000) if variant == "decimamba" else GRID["lengths"]  # a key of many tokens needs a slot
    (task_set,) = variants[variant](any_counter, lengths=lengths, depths=GRID["depths"], samples=2)
    spare = 80 if variant in ("texts", "decimamba") else 12  # a sentence, or a word or a sentence of noise
    for example in task_set.examples:
        used = any_counter(task_set.task.prompt(example.context, example.question))
        assert example.length == used <= int(example.bucket) == example.tags["length"] <= used + spare


@VARIANTS
def test_text_gives_way_where_a_needle_costs_more_inside_it_than_behind_it(variants, variant, words):
    def dearer_inside(text: str) -> int:
        return words(text) + 40 * len(re.findall(r"(?:sunny day|pass key)\.\s+(?!What|Answer)\w", text))

    depths = (0, 50, 100) if variant == "kamradt" else (0, 50)
    (plain,), (dear,) = (
        variants[variant](count, lengths=(1000,), depths=depths, samples=3)
        for count in (words, dearer_inside)
    )
    pairs = list(zip(plain.examples, dear.examples, strict=True))
    assert sum(len(one.context) > len(other.context) for one, other in pairs) == 6
    for _, example in pairs:
        used = dearer_inside(dear.task.prompt(example.context, example.question))
        assert example.length == used <= 1000 <= used + 80


@pytest.mark.parametrize("variant", ["kamradt", "noise"])
def test_the_least_length_that_is_named_is_the_least_that_works(variants, variant, words):
    make, cell = variants[variant], {"depths": (100,), "samples": 1}
    too_short = r"lengths={} is too short: for this reader it takes {} tokens$"
    with pytest.raises(ValueError, match=too_short.format(20, r"\d+")) as error:
        make(words, lengths=(20,), **cell)
    least = int(re.findall(r"\d+", str(error.value))[-1])
    with pytest.raises(ValueError, match=too_short.format(least - 1, least)):
        make(words, lengths=(least - 1,), **cell)
    assert make(words, lengths=(least,), **cell)[0].examples[0].length == least


def test_what_begins_at_the_same_word_is_one_cluster_of_kamradts(variants, words, tmp_path):
    (original,) = variants["kamradt"](words, **GRID, samples=1)
    (many,) = variants["kamradt"](words, **GRID, samples=4)
    firsts = {example.cluster for example in original.examples}
    assert len(firsts) == 1
    by_cluster: dict[str, set[str]] = {}
    for example in many.examples:
        start, end = example.evidence[0]
        haystack = example.context[: start - 1] + example.context[end + 1 :]
        by_cluster.setdefault(example.cluster, set()).add(haystack[:200])
    assert all(len(beginnings) == 1 for beginnings in by_cluster.values())
    assert 15 < len(by_cluster) == len(set.union(*by_cluster.values())) <= 31
    (tmp_path / "a.txt").write_text("Other texts. " * 300, encoding="utf-8")
    (other,) = variants["kamradt"](words, **GRID, samples=1)
    assert firsts.isdisjoint(example.cluster for example in other.examples)


@VARIANTS
def test_every_cell_has_its_samples_and_every_needle_stands_once(variants, variant, words):
    (task_set,) = variants[variant](words, **GRID, samples=3)
    cells = Counter((example.tags["length"], example.tags["depth"]) for example in task_set.examples)
    assert cells == {(length, depth): 3 for length in GRID["lengths"] for depth in GRID["depths"]}
    for example in task_set.examples:
        ((start, end),) = example.evidence
        needle = example.context[start:end]
        assert example.context.count(needle) == 1
        if variant == "kamradt":
            assert needle == (
                "The best thing to do in San Francisco is eat a sandwich and sit in Dolores Park on a sunny day."
            )
        else:
            (key,) = example.answers
            assert needle == f"The pass key is {key}. Remember it. {key} is the pass key."
            low, high = (10_000, 99_999) if variant == "decimamba" else (1, 50_000)
            assert low <= int(key) <= high
        before = task_set.task.wrap(example.question)[0] + example.context[:start].rstrip()
        assert example.tags["token"] == words(before)


@VARIANTS
def test_an_example_is_the_same_whatever_else_is_asked_for(variants, variant, words):
    def made(**options: object) -> dict:
        return {example.id: example for example in variants[variant](words, **options)[0].examples}

    few, many = made(lengths=(600,), depths=(50,), samples=2), made(**GRID, samples=4)
    assert len(few) == 2
    assert few.items() <= many.items()
    assert len({example.context for example in many.values()}) == len(many) or variant == "kamradt"
    assert made(lengths=(600,), depths=(50,), samples=2, seed=1).keys().isdisjoint(few)


@VARIANTS
def test_the_examples_of_a_revision_stay_what_they_are(variants, variant, words):
    """Another digest means other examples: raise the task's revision, or old and new records get mixed."""
    (task_set,) = variants[variant](words, **GRID, samples=2)
    assert task_set.task.revision.split("-")[0] == ("2" if variant in ("noise", "texts") else "1")
    parts = (part for e in task_set.examples for part in (e.id, e.context, e.question, *e.answers))
    found = {
        "kamradt": "925ff84501c37045",
        "noise": "7d60af73733bb767",
        "texts": "979975de4584f614",
        "decimamba": "08fd646f63552a53",
    }
    assert digest(*parts) == found[variant]


def test_kamradts_needle_follows_the_last_full_stop_before_its_depth(variants, words):
    (task_set,) = variants["kamradt"](words, **GRID, samples=3)
    for example in task_set.examples:
        start, end = example.evidence[0]
        before, after = example.context[:start], example.context[end:]
        if example.tags["depth"] == 100:
            assert after == "\n"
            continue
        assert before.strip() == "" or before.rstrip().endswith(".")
        share = len(before.split()) / len((before + after).split())
        sentence = 22 / len(example.context.split())
        assert example.tags["depth"] / 100 - sentence <= share <= example.tags["depth"] / 100


def test_kamradts_first_sample_begins_where_the_texts_begin(variants, words):
    (task_set,) = variants["kamradt"](words, lengths=(900,), depths=(50,), samples=4)
    first, *others = (example.context for example in task_set.examples)
    assert first.startswith("Line a0 says")
    assert all(context.startswith("Line ") for context in others)
    assert len({context[:60] for context in others}) == 3


def test_texts_without_a_full_stop_have_kamradts_needle_first(words, tmp_path):
    (tmp_path / "a.txt").write_text("no stop here " * 20, encoding="utf-8")
    (task_set,) = kamradt(words, haystack=tmp_path, lengths=(300,), depths=(50,), samples=1)
    assert task_set.examples[0].context.startswith("\nThe best thing")


def test_the_passkey_is_nearest_to_its_depth_on_a_line_of_its_own(variants, words):
    for example in variants["texts"](words, **GRID, samples=3)[0].examples:
        lines = example.context.split("\n")
        place = next(i for i, line in enumerate(lines) if line.startswith("The pass key"))
        assert len(lines) == (2 if example.tags["depth"] in (0, 100) else 3)
        before, after = " ".join(lines[:place]), " ".join(lines[place + 1 :])
        longest = max(map(words, split_sentences(before) + split_sentences(after)))
        share = words(before) / (words(before) + words(after))
        assert abs(share - example.tags["depth"] / 100) <= longest / 2 / words(before + after) + 0.01


def test_mohtashamis_noise_is_cut_at_a_character_and_begins_anew_behind_the_key(words):
    noise = " ".join(
        ["The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."] * 99
    )
    (task_set,) = passkey(words, lengths=(300, 1000), depths=(0, 30, 50, 99, 100), samples=40)
    for example in task_set.examples:
        before, key, after = example.context.split("\n")
        assert key.startswith("The pass key is")
        assert (before, after) == (noise[: len(before)], noise[: len(after)])
        assert len(before) == (len(before) + len(after)) * example.tags["depth"] // 100
        prompt = task_set.task.prompt(
            before + f"\n{key}\n" + after + noise[len(after) :][:20], example.question
        )
        assert words(prompt) > int(example.bucket) >= example.length
    keys = [int(example.answers[0]) for example in task_set.examples]
    assert min(keys) < 2000
    assert 48_000 < max(keys) <= 50_000


def test_decimambas_key_lies_in_the_window_between_long_whole_sentences(variants, words):
    (task_set,) = variants["decimamba"](words, **GRID, samples=8)
    offsets = []
    for example in task_set.examples:
        start, end = example.evidence[0]
        before, after = example.context[:start].strip(), example.context[end:].strip()
        sentences = split_sentences(before) + split_sentences(after)
        assert all(sentence.startswith("Line") and words(sentence) >= 10 for sentence in sentences)
        size = words(example.context)
        low, high = words(before) / size, words(before + " " + example.context[start:end]) / size
        depth = example.tags["depth"] / 100
        assert max(0, depth - 0.1) - 0.01 <= low
        assert high <= min(1, depth + 0.1) + 0.01
        offsets.append(low - depth)
    assert max(offsets) - min(offsets) > 0.1  # anywhere in the window, not at one place


def test_decimamba_asks_before_the_text_and_the_original_after_it(variants, words):
    (deci,) = variants["decimamba"](words, **GRID, samples=1)
    (plain,) = variants["noise"](words, **GRID, samples=1)
    assert deci.task.prompt("C", "What?") == "What?\nC\nAnswer: "
    assert plain.task.prompt("C", "What?").endswith("there.\nC\nWhat? The pass key is")
    assert (deci.task.name, plain.task.name) == ("passkey_decimamba", "passkey")
    assert deci.task.max_new_tokens == plain.task.max_new_tokens == 10


def test_a_text_without_a_place_for_decimambas_key_begins_elsewhere(words, tmp_path):
    """A last sentence of sixty words leaves no border in the last tenth of the text."""
    rng = random.Random(2)
    sentences = (f"Line {i} says {' '.join(['word'] * rng.choice((8, 60)))}." for i in range(80))
    (tmp_path / "a.txt").write_text(" ".join(sentences), encoding="utf-8")
    options = {"variant": "decimamba", "haystack": tmp_path, "lengths": (500,), "depths": (100,)}
    (task_set,) = passkey(words, **options, samples=40)
    for example in task_set.examples:
        behind = example.context[example.evidence[0][1] :].strip()
        assert 10 <= words(behind) <= 0.1 * words(example.context)
    assert len({example.context for example in task_set.examples}) == 40


def test_a_window_without_a_slot_is_an_error(words, tmp_path):
    (tmp_path / "a.txt").write_text(" ".join(["word"] * 200) + ". End.", encoding="utf-8")
    with pytest.raises(ValueError, match=r"within 10 points of depths=50 at lengths=300"):
        passkey(words, variant="decimamba", haystack=tmp_path, lengths=(300,), depths=(50,))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda count, _: passkey(count, variant="decimamba"), "haystack=DIR"),
        (lambda count, _: passkey(count, variant="kamradt"), "variant=kamradt is not one of"),
        (lambda count, _: passkey(count, lengths=(40,)), r"lengths=40 is too short: .* takes \d+ tokens"),
        (lambda count, _: passkey(count, lengths=(4000, 40)), "lengths=40 is too short"),
        (lambda count, _: passkey(count, depths=(101,)), "depths=101 is not possible"),
        (lambda count, _: passkey(count, depths=(-1,)), "depths=-1 is not possible"),
        (lambda count, folder: kamradt(count, haystack=folder / "none"), "is no folder"),
        (lambda count, texts: kamradt(count, haystack=texts, lengths=(30,)), r"lengths=30 is too short"),
        (lambda count, texts: kamradt(count, haystack=texts, lengths=(4000, 30)), "lengths=30 is too short"),
        (lambda count, texts: kamradt(count, haystack=texts, depths=(-1,)), "depths=-1 is not possible"),
        (lambda count, texts: kamradt(count, haystack=texts, samples=0), "samples=0"),
    ],
)
def test_options_that_make_no_sense_are_one_line_errors(words, texts, make, message):
    with pytest.raises(ValueError, match=message) as error:
        make(words, texts)
    assert "\n" not in str(error.value)


def test_a_haystack_without_a_long_sentence_is_an_error(words, tmp_path):
    (tmp_path / "a.txt").write_text("Too short. All of it.", encoding="utf-8")
    with pytest.raises(DataError, match="no sentence of at least 10 tokens"):
        passkey(words, variant="decimamba", haystack=tmp_path)


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        ("Eat a SANDWICH in Dolores Park.", 1),
        ("Sit in Dolores Park", 0),
        ("a sandwich, at the park of Dolores", 0),
        ("", 0),
    ],
)
def test_kamradts_hit_needs_every_keyword(prediction, expected):
    assert keywords(prediction, ("sandwich", "Dolores Park")) == expected


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        ("12345", 1),
        ("The key 12345 is", 1),
        ("12345.", 0),
        ("a\n12345", 0),
        ("x<|endoftext|> 12345", 0),
        ("", 0),
    ],
)
def test_decimambas_hit_is_a_word_between_blanks(prediction, expected):
    assert blank_word(prediction, ("12345", "54321")) == expected
