"""The embedded model's tokenizer: lower-cased words and marks, one token each, in Hugging Face format."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

END, UNKNOWN = "<eos>", "<unk>"


def build_tokenizer(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """A word-level tokenizer over `words` (lower-cased), with an end and an unknown token in front."""
    ids = {word: i for i, word in enumerate(dict.fromkeys([END, UNKNOWN, *words]))}
    core = Tokenizer(models.WordLevel(vocab=ids, unk_token=UNKNOWN))
    core.normalizer = normalizers.Lowercase()
    # One pattern for both: blanks first and marks second takes a quarter longer. [\w] and not \w, which leaves ² out.
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\w]+|[^\w\s]"), "removed", invert=True)
    # No word begins with "##", so this decoder only puts blanks between words and none before a mark.
    core.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=END,
        pad_token=END,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
    )
