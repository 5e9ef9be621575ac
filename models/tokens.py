"""Text into a reader's ids and back: prompts in their chat turn, counts, spans of characters.

Exercised by ``pytest tests/models/test_decoding.py``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from typing import Any

from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

from models.specs import ReaderError, ReaderSpec
from models.token_spans import Span, spans_of_ids, token_spans

# The tokenizer's own threads win little, and each keeps megabytes of what it was last given; a process that is
# forked beside them is warned of.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

Ids = Sequence[int]


class FixedDay(datetime):
    """The clock of every prompt: 26 July 2024, which Llama 3.1's own chat template writes where it is given no date."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> FixedDay:
        """The same moment, whenever it is asked."""
        return cls(2024, 7, 26, tzinfo=tz)


class Tokens:
    """A reader's tokenizer with the wording of its spec around it; `eos_ids` end a text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, spec: ReaderSpec, eos_ids: frozenset[int]) -> None:
        self.tokenizer = tokenizer
        self.spec = spec
        self.eos_ids = eos_ids
        self._backend = _backend(tokenizer)

    def encode(self, text: str, *, chat: bool = False) -> list[int]:
        """See `Engine.encode`."""
        if not text.strip():
            raise ReaderError("empty prompt: expected text to read")
        if chat and self.spec.turn:
            return self.ids(self.spec.turn[0] + text + self.spec.turn[1])
        if chat and self.tokenizer.chat_template:
            return self.ids(self._turn(text))  # the template writes the special tokens itself
        if not self.spec.special_tokens:
            return self.ids(text)
        ids = self.ids(text, special=True)
        while ids and ids[-1] in self.eos_ids:
            ids.pop()  # some tokenizers close every text; a closed prompt has no answer
        return ids

    def ids(self, text: str, *, special: bool = False) -> list[int]:
        """The text's ids, with the tokenizer's own start and end tokens if `special`."""
        if self._backend is None:
            return list(self._call(text, special)["input_ids"])
        [encoded] = self._plain(self._backend).encode_batch_fast([text], add_special_tokens=special)
        return list(encoded.ids)

    def text(self, ids: Ids) -> str:
        """See `Engine.text`."""
        return str(
            self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )

    def offsets(self, text: str) -> Iterator[Span]:
        """See `Engine.offsets`."""
        return token_spans(self._spans, text)

    def first_ids(self, word: str) -> frozenset[int]:
        """See `Engine.first_ids`."""
        spellings = [self.ids(before + word) for before in ("", " ", "\n")]
        firsts = (next((token for token in ids if self.text([token]).strip()), None) for ids in spellings)
        found = frozenset(token for token in firsts if token is not None)
        if not found:
            raise ReaderError(
                f"the tokenizer of {self.spec.name} has no token for {word!r}: choose another word"
            )
        return found

    def _turn(self, text: str) -> str:
        """The text in one user turn of the tokenizer's chat template. A template that writes the date is shown a fixed
        one: prompts would differ from day to day, inside of one run too. It is the clock that is changed, since a
        `strftime_now` of ours would reach the template as text."""
        clock = chat_template_utils.datetime
        chat_template_utils.datetime = FixedDay  # type: ignore[misc]
        try:
            turn = [{"role": "user", "content": text}]
            return str(self.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True))
        finally:
            chat_template_utils.datetime = clock  # type: ignore[misc]

    def _spans(self, text: str) -> list[Span]:
        if self._backend is not None:
            return self._plain(self._backend).encode(text, add_special_tokens=False).offsets
        if self.tokenizer.is_fast:
            return self._call(text, False, return_offsets_mapping=True)["offset_mapping"]
        spans = spans_of_ids(text, self.ids, self._spelling)
        if spans is None:
            raise ReaderError(
                f"the tokenizer of {self.spec.name} gives no offsets, and its tokens do not spell the text: a fast "
                "one (tokenizer.json) is needed"
            )
        return spans

    def _spelling(self, token: int) -> str:
        return str(self.tokenizer.decode([token], clean_up_tokenization_spaces=False))

    def _call(self, text: str, special: bool, **options: Any) -> Any:
        """Quiet about texts beyond the training length."""
        return self.tokenizer(text, add_special_tokens=special, verbose=False, **options)

    def _plain(self, backend: Any) -> Any:
        """The backend, which keeps what the last call of the tokenizer set, without cutting and filling."""
        if backend.truncation is not None:
            backend.no_truncation()
        if backend.padding is not None:
            backend.no_padding()
        return backend


def _backend(tokenizer: PreTrainedTokenizerBase) -> Any:
    """The compiled tokenizer, where calling the tokenizer does nothing but run it; None elsewhere.

    Asked directly it need not look for the tokens' places in the text, nor make masks of them, which halves
    the time: for a small reader that is a tenth of the whole."""
    if not isinstance(tokenizer, PreTrainedTokenizerFast) or tokenizer.split_special_tokens:
        return None
    usual = all(
        getattr(type(tokenizer), name) is getattr(PreTrainedTokenizerFast, name)
        for name in ("__call__", "_encode_plus")
    )
    return tokenizer.backend_tokenizer if usual else None
