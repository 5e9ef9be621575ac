"""Haystacks and the search for their size: ``python -m pytest tests/benchmarks/test_haystack.py``."""

from __future__ import annotations

import pytest

from benchmarks.haystack import hide, most_units, read_folder, repeat, split_sentences
from benchmarks.sources import DataError


def test_the_texts_of_a_folder_come_in_the_order_of_their_names(tmp_path):
    for name in ("b", "a", "c"):
        (tmp_path / f"{name}.txt").write_text(f"This is {name}.", encoding="utf-8")
    (tmp_path / "notes.md").write_text("Not this.", encoding="utf-8")
    assert read_folder("needle", tmp_path) == "This is a.\nThis is b.\nThis is c."


@pytest.mark.parametrize("content", [None, b"  \n", b"\xff\xfe\xff"])
def test_a_folder_that_is_no_haystack_is_a_one_line_error(tmp_path, content):
    folder = tmp_path / "texts"
    if content is not None:
        folder.mkdir()
        (folder / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"needle: .*haystack=") as error:
        read_folder("needle", folder)
    assert "\n" not in str(error.value)


def test_sentences_end_after_closing_marks():
    text = 'One  is 3.5 long.\nIs it? "Yes."  He\nleft! And then'
    assert split_sentences(text) == ["One is 3.5 long.", "Is it?", '"Yes."', "He left!", "And then"]


@pytest.mark.parametrize(
    "tokens",
    [
        lambda n: 3 * n + 7,
        lambda n: n * n,
        lambda n: 0 if n < 500 else 10_000,
        lambda n: 20 + 2 * n + n // 7,
        lambda n: min(n, 100) + 50 * max(0, n - 100),
    ],
)
def test_the_search_finds_the_largest_number_that_fits(tokens):
    for budget in (7, 20, 99, 100, 5000):
        fitting = [n for n in range(6000) if tokens(n) <= budget]
        assert most_units(tokens, budget) == max(fitting, default=-1)


def test_items_are_repeated_from_any_start():
    assert repeat("abc", 7, 2) == list("cabcabc")


def test_a_needle_is_found_where_it_was_hidden():
    for before, after in (("a b", "c"), ("", "c"), ("a", "")):
        text, (start, end) = hide(before, "needle", after, " ")
        assert text == " ".join(part for part in (before, "needle", after) if part)
        assert text[start:end] == "needle"
