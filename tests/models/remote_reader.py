"""The code of a reader as repositories carry it that were written for transformers 4: a recurrence that overwrites
the state which it is given, and a tokenizer in Python. `test_remote_code.py` puts it into a folder, from where
transformers loads it; the traits are those of RWKV-6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizer
from transformers.utils import ModelOutput

PIECES = [b"<s>", *(bytes([byte]) for byte in range(256)), b"Error", b" Error", b" the", "日".encode()]
PIECES += [" 🦩".encode()[:3]]  # a blank and the half of a character
LONGEST_FIRST = re.compile(b"|".join(map(re.escape, sorted(PIECES[1:], key=len, reverse=True))), re.DOTALL)


class FadingConfig(PretrainedConfig):
    model_type = "fading"

    def __init__(self, hidden_size: int = 16, **others: Any) -> None:
        self.hidden_size = hidden_size
        self.vocab_size = len(PIECES)
        super().__init__(**({"eos_token_id": 0, "tie_word_embeddings": False} | others))


@dataclass
class FadingOutput(ModelOutput):
    logits: torch.Tensor | None = None
    state: list[torch.Tensor] | None = None


class FadingForCausalLM(PreTrainedModel):
    config_class = FadingConfig
    _keep_in_fp32_modules = ["decay"]  # noqa: RUF012
    _tied_weights_keys = ["head.weight"]  # type: ignore[assignment] # noqa: RUF012

    def __init__(self, config: FadingConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.embeddings = nn.Embedding(config.vocab_size, width)
        self.decay = nn.Parameter(torch.empty(width))
        self.decay_mix = nn.Parameter(torch.empty(width, width))
        self.head = nn.Linear(width, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    def forward(
        self,
        input_ids: torch.Tensor,
        state: list[torch.Tensor] | None = None,
        use_cache: bool | None = None,
        return_dict: bool | None = None,
    ) -> FadingOutput:
        read = self.embeddings(input_ids)
        if state is None:
            state = [torch.zeros(read[:, 0].shape)]
        seen = []
        for token in read.unbind(1):
            fade = torch.exp(-torch.exp(self.decay + token @ self.decay_mix))
            state[0].mul_(fade).add_(token)
            seen.append(state[0].to(read.dtype))
        return FadingOutput(logits=self.head(torch.stack(seen, 1)), state=state)


class PiecesTokenizer(PreTrainedTokenizer):
    def __init__(self, eos_token: str = "<s>", **others: Any) -> None:
        super().__init__(eos_token=eos_token, **others)

    @property
    def vocab_size(self) -> int:
        return len(PIECES)

    def get_vocab(self) -> dict[str, int]:
        return {str(piece.decode(errors="replace")): number for number, piece in enumerate(PIECES)}

    def _tokenize(self, text: str, **_: Any) -> list[Any]:
        return [PIECES.index(piece) for piece in LONGEST_FIRST.findall(text.encode())]

    def _convert_token_to_id(self, token: Any) -> Any:
        return token

    def _convert_id_to_token(self, index: int) -> str:
        return PIECES[index].decode(errors="replace")

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return "".join(tokens)

    def save_vocabulary(self, *_: Any, **__: Any) -> tuple[str, ...]:
        return ()
