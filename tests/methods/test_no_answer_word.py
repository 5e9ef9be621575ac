"""OPRM's IDK filter needs a no-answer word, and knows it as a tokenizer with a blank before every text spells it, in a
chat turn that ends in a line break."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import MambaConfig, MambaForCausalLM, PreTrainedTokenizerFast

from methods.oprm import OPRM
from models.engine import Engine
from models.specs import ReaderSpec

CONTEXT = " ".join(f"w{place % 50}" for place in range(40))


def prepending_tokenizer() -> PreTrainedTokenizerFast:
    """Of Llama 2's kind: a blank before the text, so that a word alone and one after a blank are the same token."""
    known = ["Error", *(f"w{number}" for number in range(50))]
    words = ["<unk>", "<eos>", "\n", "▁", *known, *(f"▁{word}" for word in known)]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, "<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("▁", "merged_with_next"), pre_tokenizers.Split("\n", "isolated")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<eos>")
    wrapped.chat_template = "w1\n{{ messages[0]['content'] + '\\nw2\\n' }}"
    return wrapped


@pytest.mark.parametrize(("word", "filtered"), [("Error", True), ("▁Error", True), ("▁w7", False)])
def test_the_filter_drops_the_chunks_whose_answer_begins_with_either_spelling(word, filtered):
    tokenizer = prepending_tokenizer()
    assert [tokenizer.tokenize(text)[-1] for text in ("Error", "w1 Error")] == ["▁Error", "▁Error"]
    assert tokenizer.tokenize("w2\nError") == ["▁w2", "\n", "Error"]
    config = MambaConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, state_size=4)
    model = MambaForCausalLM(config)
    model.lm_head = torch.nn.Linear(32, len(tokenizer))
    torch.nn.init.zeros_(model.lm_head.weight)
    token = tokenizer.convert_tokens_to_ids(word)
    model.lm_head.bias.data = 5.0 * torch.nn.functional.one_hot(torch.tensor(token), len(tokenizer))
    engine = Engine(model, tokenizer, ReaderSpec("saying", "nowhere"))
    assert engine.encode("w3", chat=True)[-1] == tokenizer.convert_tokens_to_ids("\n")

    answer = OPRM(engine, chunk_size=10).answer(CONTEXT, "w7")
    assert answer.details["chunks"] == 4
    assert answer.details["filtered"] == (4 if filtered else 0)
    assert ("all_filtered" in answer.details["flags"]) == filtered
    assert answer.text.startswith(word.removeprefix("▁"))


def test_a_reader_without_a_no_answer_word_is_refused_unless_the_filter_is_off(scripted):
    with pytest.raises(ValueError, match="no no-answer word"):
        OPRM(scripted(no_answer=" "))
    assert OPRM(scripted(no_answer=""), idk_filter=False).answer(CONTEXT, "w7 ?").details["filtered"] == 0
