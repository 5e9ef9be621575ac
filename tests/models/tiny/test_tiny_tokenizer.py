"""The embedded model's words: runs of letters and digits, and every other printing mark by itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, pre_tokenizers

from models.tiny import tokenizer
from models.tiny.tokenizer import build_tokenizer

FILE = Path(tokenizer.__file__).parent / "tokenizer.json"
SAVED = Tokenizer.from_file(str(FILE))
BLANKS_FIRST = pre_tokenizers.Sequence(
    [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(r"[^\w\s]"), "isolated")]
)


@given(st.text(max_size=60) | st.text(st.sampled_from("ab1_ .,?!-\n\t²½ªé漢😀\u0301\u200d\u00a0\u3000")))
@settings(max_examples=300, deadline=None)
@example("a²b ²² ½")
def test_one_pattern_cuts_as_blanks_and_then_marks_do(text):
    assert SAVED.pre_tokenizer.pre_tokenize_str(text) == BLANKS_FIRST.pre_tokenize_str(text)


@pytest.mark.parametrize("text", ["The office of Ada is in Rome.", "a,b  ?!", "x_1²"])
def test_the_saved_tokenizer_is_the_one_that_training_builds(text):
    words = json.loads(FILE.read_text())["model"]["vocab"]
    built = build_tokenizer(sorted(words, key=words.__getitem__)).backend_tokenizer
    assert built.encode(text).tokens == SAVED.encode(text).tokens
    assert built.encode(text).offsets == SAVED.encode(text).offsets
