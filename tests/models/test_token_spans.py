"""Spans found piece by piece are those of the whole text, for every kind of tokenizer."""

from __future__ import annotations

import random
import re

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from models import token_spans as room
from models.token_spans import spans_of_ids, token_spans

Span = tuple[int, int]


def text_of(words: int) -> str:
    draw = random.Random(7)
    syllables = ["ba", "do", "kel", "mur", "ß", "été", "日本", "12", "x"]
    marks = [" ", " ", " ", ", ", ".\n", "\n\n", "   ", "-"]
    parts = [
        "".join(draw.choices(syllables, k=draw.randint(1, 5))) + draw.choice(marks) for _ in range(words)
    ]
    return "".join(parts)


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([text_of(300)], trainer)
    return tokenizer


def sentence_pieces() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator([text_of(300)], trainer)
    return tokenizer


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PIECE", 300)
    monkeypatch.setattr(room, "MARGIN", 60)


@pytest.mark.parametrize("make", [byte_level, sentence_pieces])
@pytest.mark.parametrize("words", [0, 1, 40, 400])
def test_spans_found_in_pieces_are_those_of_the_whole_text(make, words) -> None:
    tokenizer, text = make(), text_of(words)
    read: list[int] = []

    def spans_of(piece: str) -> list[Span]:
        read.append(len(piece))
        return tokenizer.encode(piece, add_special_tokens=False).offsets

    assert list(token_spans(spans_of, text)) == spans_of(text)
    assert max(read[:-1]) <= 300 + 2 * 60


def test_a_piece_is_read_when_the_one_before_it_has_been_taken() -> None:
    read: list[int] = []

    def spans_of(piece: str) -> list[Span]:
        read.append(len(piece))
        return [(place, place + 1) for place in range(len(piece))]

    spans = token_spans(spans_of, "x" * 1000)
    assert [next(spans) for _ in range(300)] == [(place, place + 1) for place in range(300)]
    assert read == [360, 420]  # the second because the two must agree
    assert (next(spans), read) == ((300, 301), [360, 420, 420])


def test_a_tokenizer_that_looks_further_than_the_margin_reads_the_text_whole() -> None:
    """Tokens of seven characters, counted from the start of whatever is read."""
    read: list[int] = []

    def spans_of(piece: str) -> list[Span]:
        read.append(len(piece))
        return [(start, min(start + 7, len(piece))) for start in range(0, len(piece), 7)]

    text = "x" * 1000
    assert list(token_spans(spans_of, text)) == spans_of(text)
    assert read.count(1000) == 2


def test_pieces_must_agree_on_every_token_where_they_meet() -> None:
    """The first piece alone, which begins with a mark, reads two characters beyond the seam as one."""

    def spans_of(piece: str) -> list[Span]:
        pair = 310 if piece.startswith("!") else len(piece)
        singles = [(place, place + 1) for place in range(len(piece)) if place not in (pair, pair + 1)]
        return sorted([*singles, (pair, pair + 2)] if pair < len(piece) else singles)

    text = "!" + "x" * 400
    assert list(token_spans(spans_of, text)) == spans_of(text)


def test_where_pieces_do_not_agree_the_rest_is_read_from_the_last_place_where_they_did() -> None:
    """Characters but for what follows a mark, which is one token however long it is."""
    read: list[int] = []

    def spans_of(piece: str) -> list[Span]:
        read.append(len(piece))
        mark = piece.find("!") % (len(piece) + 1)
        ends = [(mark, len(piece))] if mark < len(piece) else []
        return [(place, place + 1) for place in range(mark)] + ends

    text = "x" * 500 + "!" + "x" * 700
    assert list(token_spans(spans_of, text)) == spans_of(text)
    assert read == [360, 420, 420, 1201 - 240, 1201]


def test_a_word_that_reaches_far_over_where_pieces_meet_is_one_span() -> None:
    def spans_of(piece: str) -> list[Span]:
        return [match.span() for match in re.finditer(r"\w+|[^\w\s]", piece)]

    for start in (200, 250, 299):
        text = "the " * (start // 4) + "x" * 300 + " in paris . " * 30
        assert list(token_spans(spans_of, text)) == spans_of(text)


def test_ids_alone_give_the_spans_that_a_compiled_tokenizer_tells() -> None:
    """Also of characters in two to four bytes, and of one that stands for those which cannot be shown."""
    tokenizer = byte_level()
    tokenizer.decoder = decoders.ByteLevel()
    parts = [*text_of(40).split(" "), "龘龘", "🦩", "\N{REPLACEMENT CHARACTER}", "x\x00"]
    text = " ".join(random.Random(3).choices(parts, k=200))

    def ids_of(piece: str) -> list[int]:
        return tokenizer.encode(piece, add_special_tokens=False).ids

    found = spans_of_ids(text, ids_of, lambda token: tokenizer.decode([token]))
    assert found == tokenizer.encode(text, add_special_tokens=False).offsets
    assert spans_of_ids("", ids_of, str) == []


def test_a_token_without_a_text_has_the_span_of_what_follows_it() -> None:
    """A mark for a word's beginning, say, before a line break."""
    tokenizer = sentence_pieces()
    encoded = tokenizer.encode("\nx", add_special_tokens=False)
    assert [tokenizer.decode([token]) for token in encoded.ids] == ["", "\n", "x"]

    def ids_of(piece: str) -> list[int]:
        return tokenizer.encode(piece, add_special_tokens=False).ids

    found = spans_of_ids("\nx", ids_of, lambda token: tokenizer.decode([token]))
    assert found == encoded.offsets == [(0, 1), (0, 1), (1, 2)]


def test_tokens_that_do_not_spell_the_text_have_no_spans_and_are_soon_given_up() -> None:
    asked: list[str] = []

    def ids_of(piece: str) -> list[int]:
        asked.append(piece)
        return [len(piece)] * len(piece)

    assert spans_of_ids("ab" * 5000, ids_of, chr) is None
    assert len(asked) < 1000
    assert spans_of_ids("no end", lambda piece: [ord(letter) for letter in piece[:2]], chr) is None


@pytest.mark.parametrize("errors", ["replace", "ignore"])
def test_the_bytes_of_a_character_have_its_span_whether_a_part_is_shown_or_not(errors: str) -> None:
    """ByT5's tokenizer shows nothing of them."""

    def shown(byte: int) -> str:
        return bytes([byte]).decode(errors=errors)

    text = "né 🦩\N{REPLACEMENT CHARACTER}"
    spans = [(place, place + 1) for place, letter in enumerate(text) for _ in letter.encode()]
    assert spans_of_ids(text, lambda piece: list(piece.encode()), shown) == spans
