"""The chunker's promises, for any text and any tokenizer: cover, order, size, overlap, whole sentences."""

from __future__ import annotations

import re
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from retrievers.chunking import SENTENCE_END, Chunk, CutsAhead, cut_places, join, split, windows


def word_offsets(text):
    return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]


def byte_level(trim):
    """A tokenizer whose tokens are bytes, so that one character takes up to four of them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: place for place, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim)
    return lambda text: tokenizer.encode(text).offsets


TOKENIZERS = {"words": word_offsets, "bytes": byte_level(False), "trimmed bytes": byte_level(True)}
TEXTS = st.text(st.sampled_from("ab. \n\t!?é漢。😀\u0301\u200d"), max_size=60) | st.text(max_size=40)


@st.composite
def settings_of(draw):
    size = draw(st.integers(1, 12))
    return size, draw(st.integers(0, size - 1)), draw(st.sampled_from(["token", "sentence"]))


@pytest.mark.parametrize("name", TOKENIZERS)
@given(TEXTS, settings_of())
@settings(max_examples=150, deadline=None)
@example("a. 😀😀b c d e.", (2, 1, "sentence"))
def test_chunks_cover_the_text_in_order_and_keep_to_the_size(name, text, how):
    size, overlap, boundary = how
    offsets = TOKENIZERS[name](text)
    chunks = split(text, offsets, size, overlap=overlap, boundary=boundary)
    if not offsets:
        assert not chunks
        return
    assert chunks[0].start == 0
    assert chunks[-1].end == len(text)
    assert all(chunk.text == text[chunk.start : chunk.end] != "" for chunk in chunks)
    longest = max(
        b - a for a, b in pairwise([cut for cut, _ in cut_places(text, offsets)])
    )  # of one character
    for chunk in chunks:
        assert 1 <= chunk.tokens <= max(size, longest)
    for left, right in pairwise(chunks):
        assert left.start < right.start <= left.end < right.end


@given(st.integers(1, 60), st.data())
@settings(deadline=None)
def test_in_token_mode_neighbours_share_exactly_the_overlap(count, data):
    size = data.draw(st.integers(1, 12))
    overlap = data.draw(st.integers(0, size - 1))
    text = " ".join(f"w{number}" for number in range(count))
    chunks = split(text, word_offsets(text), size, overlap=overlap)
    words = [[int(word[1:]) for word in chunk.text.split()] for chunk in chunks]
    assert words[0][0] == 0
    assert words[-1][-1] == count - 1
    for left, right in pairwise(words):
        assert len(left) == size
        assert right[0] == left[-1] + 1 - overlap
        assert right[-1] > left[-1]


SENTENCES = st.lists(st.integers(1, 9), min_size=1, max_size=12)


@given(SENTENCES, settings_of())
@settings(deadline=None)
@example([1, 2, 5], (3, 2, "sentence"))  # an overlap stays out of the sentence before
def test_sentence_mode_cuts_a_sentence_only_if_it_is_longer_than_a_chunk(lengths, how):
    size, overlap, _ = how
    sentences = [" ".join(["w"] * (length - 1)) + "." for length in lengths]
    text = " ".join(sentences)
    ends = [sum(len(sentence) + 1 for sentence in sentences[: n + 1]) - 1 for n in range(len(lengths))]
    chunks = split(text, word_offsets(text), size, overlap=overlap, boundary="sentence")
    for cut in {chunk.start for chunk in chunks} | {chunk.end for chunk in chunks}:
        if cut not in {0, *ends}:
            cut_one = next(length for length, end in zip(lengths, ends, strict=True) if cut < end)
            assert cut_one > size
    for left, right in pairwise(chunks):
        assert len(word_offsets(text[right.start : left.end])) <= overlap


def test_whole_sentences_are_packed_up_to_the_size():
    text = "One two. Three four. Five six seven. Eight."
    chunks = split(text, word_offsets(text), 7, boundary="sentence")
    assert [chunk.text for chunk in chunks] == ["One two. Three four.", " Five six seven. Eight."]
    assert [chunk.tokens for chunk in chunks] == [6, 6]


def test_a_sentence_longer_than_a_chunk_is_cut_alone_and_its_rest_is_packed_on():
    text = "One. a b c d e f g. Two."
    chunks = split(text, word_offsets(text), 4, boundary="sentence")
    assert [chunk.text for chunk in chunks] == ["One.", " a b c d", " e f g.", " Two."]


def test_overlap_repeats_whole_sentences_where_they_fit():
    text = "One two. Three. Four five. Six."
    chunks = split(text, word_offsets(text), 6, overlap=3, boundary="sentence")
    assert [chunk.text for chunk in chunks] == ["One two. Three.", " Three. Four five.", " Four five. Six."]


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("It cost 3.50 in all. Then", [20]),
        ('He said "no." She left', [13]),
        ("Really?! Yes", [8]),
        ("終わり。次は", [4]),
        ("Heading\n\nText", [7]),
        ("wrapped\nline", []),
        ("Contents ...... 7", [15]),
        ("1......7", []),
        ("a\n \t\n\nb", [1, 4]),
    ],
)
def test_where_sentences_end(text, ends):
    assert [match.end() for match in SENTENCE_END.finditer(text)] == ends


@pytest.mark.parametrize("run", [".", "\n", "\n ", '."'])
def test_a_long_run_of_marks_or_of_line_breaks_is_looked_through_once(run):
    """In the square of its length it would take an hour."""
    text = f"One. Two{run * 300_000}words. Three"
    chunks = split(
        text, ((match.start(), match.end()) for match in re.finditer(r"\S+", text)), 2, boundary="sentence"
    )
    assert "".join(chunk.text for chunk in chunks) == text


def test_white_space_between_tokens_goes_to_the_later_chunk():
    text = "a b \n c d"
    assert [chunk.text for chunk in split(text, word_offsets(text), 2)] == ["a b", " \n c d"]


def test_white_space_that_a_token_ends_with_hides_neither_a_sentence_nor_a_word():
    text = "One two. Three four. Five"
    tokens = [match.span() for match in re.finditer(r"\w+ ?|[^\w ] ?", text)]
    chunks = split(text, tokens, 4, boundary="sentence")
    assert [chunk.text for chunk in chunks] == ["One two. ", "Three four. Five"]
    text = "unbearab the cat sat on it"
    pieces = [(0, 3), (3, 6), (6, 9), (9, 13), (13, 17), (17, 21), (21, 24), (24, 26)]
    found = [window.text for window in windows(text, pieces, 6)]
    assert found == ["unbearab the cat sat ", "the cat sat on it"]


def test_no_character_is_cut_in_half_even_if_it_takes_more_tokens_than_a_chunk_holds():
    text = "a😀b"
    offsets = TOKENIZERS["bytes"](text)
    assert len(offsets) == 6
    assert list(split(text, offsets, 2)) == [Chunk(0, 1, text, 1), Chunk(1, 2, text, 4), Chunk(2, 3, text, 1)]


def test_a_token_without_characters_makes_no_empty_chunk():
    offsets = [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]
    assert [chunk.text for chunk in split("ab", offsets, 1)] == ["a", "b"]


def test_a_text_shorter_than_a_chunk_is_one_chunk_and_no_text_is_none():
    assert list(split("a b", word_offsets("a b"), 9, overlap=3)) == [Chunk(0, 3, "a b", 2)]
    assert list(split("", [], 9)) == []
    assert list(split(" \n", [], 9)) == []
    assert list(split("!\n\n.", [], 9, boundary="sentence")) == []
    assert dict(cut_places(" \n", [])) == {0: 2}


def test_a_cut_is_the_tokens_and_the_characters_before_it():
    assert list(cut_places("a b  c", word_offsets("a b  c"))) == [(0, 0), (1, 1), (2, 3), (3, 6)]


@pytest.mark.parametrize("boundary", ["token", "sentence"])
def test_cutting_a_book_holds_a_chunk_of_it_at_a_time(boundary):
    """Neither the tokens' places nor the chunks' texts: those are cut out when they are asked for."""
    text = "A word. " * 40_000
    tokens = (match.span() for match in re.finditer(r"\w+|[^\w\s]", text))
    tracemalloc.start()
    try:
        chunks = split(text, tokens, 250, boundary=boundary)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(chunks) == (480 if boundary == "token" else 482)
    assert kept < 60 * len(chunks)
    assert peak < kept + 300 * 250


def test_spans_are_taken_no_further_than_a_chunk_and_what_it_repeats_need():
    text = " ".join("ab" for _ in range(40))
    taken = []

    def offsets():
        for span in word_offsets(text):
            taken.append(span)
            yield span

    ahead = CutsAhead(text, offsets(), "token")
    assert ahead.extend(10) == 11
    assert len(taken) == 12
    ahead.forget(8)
    assert (ahead.cuts, ahead.place(9)) == ([8, 9, 10, 11], 26)
    assert (ahead.extend(10), len(taken)) == (11, 12)
    assert (ahead.extend(99), ahead.place(40)) == (40, len(text))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"size": 0}, "chunk size 0 is too small: expected at least 1 token"),
        ({"size": 4, "overlap": 4}, "overlap 4 does not fit chunks of 4 tokens: expected 0 to 3"),
        ({"size": 4, "overlap": -1}, "overlap -1 does not fit chunks of 4 tokens: expected 0 to 3"),
        ({"size": 4, "boundary": "line"}, "boundary='line' is unknown: expected token or sentence"),
    ],
)
def test_settings_that_make_no_chunks_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        split("a b", word_offsets("a b"), **options)


def test_joining_keeps_neighbours_together_and_parts_the_others_by_a_blank_line():
    text = "aa bb cc dd ee ff"
    a, b, c, d, e, f = split(text, word_offsets(text), 1)
    assert join(text, [a, b, d]) == ("aa bb\n\n dd", ((0, 5), (8, 11)))
    assert join(text, [d, a]) == (" dd\n\naa", ((8, 11), (0, 2)))
    assert join(text, [b, a]) == ("aa bb", ((0, 5),))
    assert join(text, [e, a, d]) == (" dd ee\n\naa", ((8, 14), (0, 2)))  # in the better one's place
    assert join(text, [f, a, c, b]) == (" ff\n\naa bb cc", ((14, 17), (0, 8)))  # b closes the gap
    assert join(text, []) == ("", ())
    assert join(text, [a, b, c, d, e, f]) == (text, ((0, 17),))
    left, right = split(text, word_offsets(text), 4, overlap=2)
    assert join(text, [left, right]) == join(text, [right, left]) == (text, ((0, 17),))
    first, second, third = split(text, word_offsets(text), 4, overlap=3)
    assert join(text, [first, third, second]) == (text, ((0, 17),))


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=8))
@settings(deadline=None)
def test_joining_reads_every_character_of_the_chunks_once_and_the_first_chunk_first(places):
    text = "".join(chr(0x4E00 + number) for number in range(40))
    chunks = [Chunk(start, start + length, text, length) for start, length in places]
    joined, spans = join(text, chunks)
    wanted = {place for chunk in chunks for place in range(chunk.start, chunk.end)}
    assert sorted(joined.replace("\n\n", "")) == [text[place] for place in sorted(wanted)]
    if chunks:
        assert spans[0][0] <= chunks[0].start < chunks[0].end <= spans[0][1]


@given(st.integers(0, 60), st.integers(2, 20))
@settings(deadline=None)
def test_windows_overlap_by_half_and_the_last_is_as_long_as_the_others(count, size):
    text = " ".join(f"w{number}" for number in range(count))
    found = windows(text, word_offsets(text), size)
    starts = [int(window.text.split()[0][1:]) for window in found]
    assert {window.tokens for window in found} == ({min(size, count)} if count else set())
    assert starts[:-1] == [place * (size // 2) for place in range(len(found) - 1)]
    assert (starts[-1] if found else 0) == max(0, count - size)


@pytest.mark.parametrize("name", TOKENIZERS)
@given(TEXTS, st.integers(2, 12))
@settings(max_examples=150, deadline=None)
def test_windows_cover_any_text(name, text, size):
    offsets = TOKENIZERS[name](text)
    found = windows(text, offsets, size)
    if not offsets:
        assert found == []
        return
    longest = max(
        b - a for a, b in pairwise([cut for cut, _ in cut_places(text, offsets)])
    )  # of one character
    assert (found[0].start, found[-1].end) == (0, len(text))
    for window in found:
        assert window.text == text[window.start : window.end] != ""
        assert window.tokens <= max(size, longest)
    for left, right in pairwise(found):
        assert left.start < right.start <= left.end < right.end


def test_windows_are_cut_between_words_unless_a_word_is_too_long():
    text = "unbearab the cat sat on it"
    pieces = [(0, 3), (3, 6), (6, 8), (9, 12), (13, 16), (17, 20), (21, 23), (24, 26)]
    assert [window.text for window in windows(text, pieces, 6)] == [
        "unbearab the cat sat",
        " the cat sat on it",
    ]
    assert [window.text for window in windows(text, pieces, 4)][:2] == ["unbearab the", "ab the cat sat"]
    assert windows("abcdef", [(n, n + 1) for n in range(6)], 4)[0].text == "abcd"
    with pytest.raises(ValueError, match="at least 2"):
        windows("a b", word_offsets("a b"), 1)
