"""Text into ids and ids into text: prompts, offsets, and where decoding ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

from models.engine import Engine
from models.specs import ReaderError, ReaderSpec
from models.tokens import Tokens

Reader = Callable[..., Engine]


def test_a_plain_prompt_gets_the_start_token_unless_the_spec_says_no(reader: Reader) -> None:
    assert reader().encode("w1 w2") == [2, 9, 10]
    assert reader(spec={"special_tokens": False}).encode("w1 w2") == [9, 10]
    assert reader().count_tokens("w1 w2 \n w3") == 4
    assert reader().count_tokens("") == 0
    assert reader().text([2, 9, 10, 1]) == "w1 w2"


def test_a_chat_prompt_is_one_user_turn_with_the_start_token_once(reader: Reader) -> None:
    engine = reader()
    assert engine.encode("w1", chat=True) == [2, 9]  # no template: plain
    engine.tokenizer.chat_template = (
        "<bos> <user> {{ messages[0]['content'] }} <eos>{% if add_generation_prompt %} <reply>{% endif %}"
    )
    assert engine.encode("w1 w2", chat=True) == [2, 3, 9, 10, 1, 4]
    assert engine.encode("w1 w2") == [2, 9, 10]


def test_a_spec_words_the_chat_turn_before_the_tokenizer_does(reader: Reader) -> None:
    engine = reader(spec={"turn": ("w7 ", "\n w8")})
    assert engine.encode("w1 w2", chat=True) == [15, 9, 10, 5, 16]
    engine.tokenizer.chat_template = "<user> {{ messages[0]['content'] }}"
    assert engine.encode("w1 w2", chat=True) == [15, 9, 10, 5, 16]
    assert engine.encode("w1 w2") == [2, 9, 10]


def test_a_chat_template_that_writes_the_date_writes_one_and_the_same_every_day(reader: Reader) -> None:
    engine = reader()
    engine.tokenizer.chat_template = (
        "<user> w{{ strftime_now('%y') }} w{{ strftime_now('%-d') }} {{ messages[0]['content'] }}"
        "{% if 'w9' in messages[0]['content'] %}{{ raise_exception('no') }}{% endif %}"
    )
    assert engine.text(engine.encode("w1", chat=True)) == "w24 w26 w1"
    with pytest.raises(TemplateError):
        engine.encode("w9", chat=True)
    assert chat_template_utils.datetime is datetime  # for everybody else


def test_a_stop_token_of_the_spec_ends_an_answer_if_it_is_one_token(reader: Reader) -> None:
    engine = reader(spec={"stop_tokens": ("<reply>", "w1 w2")})
    assert engine.eos_ids == {1, 4}
    scripted(engine, "w3 w1 w2 <reply> w4")
    assert engine.generate([7], 8) == "w3 w1 w2"


def test_a_tokenizer_that_closes_every_text_does_not_close_a_prompt(reader: Reader) -> None:
    from tokenizers.processors import TemplateProcessing

    engine = reader()
    backend: Any = engine.tokenizer
    backend.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 2), ("<eos>", 1)]
    )
    assert engine.tokenizer("w1")["input_ids"] == [2, 9, 1]
    assert engine.encode("w1") == [2, 9]


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_prompt_is_refused(reader: Reader, text: str) -> None:
    with pytest.raises(ReaderError, match="empty prompt"):
        reader().encode(text)


def test_offsets_are_character_spans_without_the_start_token(reader: Reader) -> None:
    text = "w1  w22 ."
    assert [text[start:end] for start, end in reader().offsets(text)] == ["w1", "w22", "."]


def test_offsets_need_a_fast_tokenizer_where_tokens_do_not_spell_the_text() -> None:
    class Slow(SimpleNamespace):
        def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
            return {"input_ids": [len(text)]}

    slow: Any = Slow(is_fast=False, decode=lambda ids, **_: "W")  # of "w1", and "w" alone has another id
    spans = Tokens(slow, ReaderSpec(name="mamba", path="mamba"), frozenset()).offsets("w1")
    with pytest.raises(ReaderError, match=r"mamba gives no offsets, .* a fast one"):
        list(spans)


class Shouting(PreTrainedTokenizerFast):
    """A tokenizer that does more than run its compiled half."""

    def _encode_plus(self, text: Any, *given: Any, **options: Any) -> Any:
        return super()._encode_plus(text.replace("w", "W").replace("W1", "w1"), *given, **options)


@pytest.mark.parametrize("kind", ["plain", "own", "splitting"])
def test_ids_and_offsets_are_those_that_calling_the_tokenizer_gives(
    kind: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    tokenizer.split_special_tokens = kind == "splitting"
    if kind == "own":
        tokenizer = Shouting(tokenizer_object=tokenizer.backend_tokenizer, unk_token="<unk>")
    tokens = Tokens(tokenizer, ReaderSpec(name="some", path="some"), frozenset())
    for text in ("w1<eos>", "w1 w22 \n . w1", "w1 <eos> w3", "", "nothing known"):
        for special in (False, True):
            found = tokens.ids(text, special=special)
            called = tokenizer(text, add_special_tokens=special, return_offsets_mapping=True)
            assert found == called["input_ids"]
        assert list(tokens.offsets(text)) == (called["offset_mapping"][1:] if called["input_ids"] else [])
    assert (tokens.ids("w2 w3") == [0, 0]) == (kind == "own")
    assert (tokens.ids("w1<eos>") == [0]) == (kind == "splitting")


def test_what_a_caller_of_the_tokenizer_cuts_and_fills_stays_whole_here(reader: Reader) -> None:
    engine = reader()
    engine.tokenizer.add_special_tokens({"pad_token": "<eos>"})
    for options in ({"truncation": True}, {"padding": "max_length"}):
        length = {"max_length": 2} if "truncation" in options else {"max_length": 9}
        assert len(engine.tokenizer("w1 w2 w3 w4", **options, **length)["input_ids"]) == length["max_length"]
        assert engine.encode("w1 w2 w3 w4") == [2, 9, 10, 11, 12]
        engine.tokenizer("w1 w2 w3 w4", **options, **length)
        assert len(list(engine.offsets("w1 w2 w3 w4"))) == 4


def test_the_first_ids_of_a_word_cover_its_spellings_and_pass_over_blanks(reader: Reader) -> None:
    engine = reader()
    assert engine.first_ids("Error .") == {6}
    pieces = {
        "Error": [8, 6],
        " Error": [5, 9, 6],
        "\nError": [5, 10, 6],
    }  # a word-piece tokenizer whose second spelling starts blank, and whose third is another piece
    engine._tokens.ids = lambda text, **_: pieces[text]  # type: ignore[method-assign]
    assert engine.first_ids("Error") == {8, 9, 10}


def test_a_no_answer_word_that_the_tokenizer_does_not_know_is_refused(reader: Reader) -> None:
    with pytest.raises(ReaderError, match="no token for 'Unanswerable'"):
        reader().first_ids("Unanswerable")


class Script:
    """A model that says the given words whatever it reads, and counts what it was fed."""

    def __init__(self, ids: list[int], vocabulary: int) -> None:
        self.ids, self.vocabulary, self.fed = ids, vocabulary, 0
        self.state: list[int] | None = []
        self.config = SimpleNamespace(model_type="script")

    def __call__(self, input_ids: torch.Tensor, **_: Any) -> SimpleNamespace:
        logits = torch.full((1, 1, self.vocabulary), -1.0)
        logits[0, 0, self.ids[self.fed]] = 1.0
        self.fed += 1
        return SimpleNamespace(logits=logits, cache_params=self.state)


def scripted(engine: Engine, words: str) -> Script:
    ids: Any = engine.tokenizer.convert_tokens_to_ids(words.replace("/", "\n").split(" "))
    engine.model = script = Script(ids, engine.vocab_size)  # type: ignore[assignment]
    return script


@pytest.mark.parametrize(
    ("words", "stop", "text", "fed"),
    [
        ("w1 w2 <eos> w3", (), "w1 w2", 3),
        ("<eos>", (), "", 1),
        ("w1 / w2", ("\n",), "w1 ", 2),
        ("/ / w1 / w2", ("\n",), "\n \n w1 ", 4),
        ("w1 w2 . w3", ("w2 .", "."), "w1 ", 3),
        (". w1 . w2", (".",), ". w1 ", 3),  # nothing was said before the first one
        ("w1 w2 w3 w4", ("\n",), "w1 w2 w3 w4", 4),
    ],
)
def test_decoding_ends_at_an_end_token_a_stop_string_or_the_limit(
    reader: Reader, words: str, stop: tuple[str, ...], text: str, fed: int
) -> None:
    engine = reader()
    script = scripted(engine, words)
    assert engine.generate([7], 4, stop=stop) == text
    assert script.fed == fed


def test_a_bare_text_is_no_list_of_stop_strings(reader: Reader) -> None:
    engine = reader()
    wanted = r"^stop is the text 'w2': expected a list or tuple of texts, such as \('w2',\)$"
    with pytest.raises(ReaderError, match=wanted):
        engine.generate([7], 4, stop="w2")
    with pytest.raises(ReaderError, match=wanted):
        engine.decode(engine.prefill([[7]]), 4, stop="w2")


def test_any_of_several_end_tokens_ends(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, tokenizer: PreTrainedTokenizerFast
) -> None:
    model = reader().model
    monkeypatch.setattr(model.generation_config, "eos_token_id", [9, 10])
    engine = Engine(model, tokenizer, ReaderSpec(name="several", path="several"))
    assert engine.eos_ids == {1, 9, 10}
    scripted(engine, "w3 w2 w4")
    assert engine.generate([7], 4) == "w3"


def test_decoding_ends_with_the_window(reader: Reader) -> None:
    engine = reader(spec={"window": 6})
    script = scripted(engine, "w1 w2 w3 w4 w5 w6")
    assert engine.generate([7, 8, 9, 10], 6) == "w1 w2 w3"
    assert script.fed == 3  # the prompt of 4 tokens and two more: the window


def test_a_model_that_keeps_no_state_cannot_be_decoded_from(reader: Reader) -> None:
    engine = reader()
    scripted(engine, "w1 w2").state = None
    with pytest.raises(ReaderError, match="mamba keeps no state"):
        engine.generate([7], 2)


def test_the_tokenizers_threads_are_off_unless_the_user_turns_them_on() -> None:
    """They would keep megabytes each, and other ones in every run."""
    for given, found in ((None, "false"), ("true", "true")):
        environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
        environment |= {} if given is None else {"TOKENIZERS_PARALLELISM": given}
        code = "import os, models.tokens; print(os.environ['TOKENIZERS_PARALLELISM'])"
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
        assert run.stdout.decode().strip() == found
