"""Where a reader has to stop: its window, its end-of-text ids, a stop string, the largest forward that its
kernels can address, and the positions whose logits are made. Exercised by ``pytest tests/models/test_limits.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

INT32, UINT32 = 2**31 - 1, 2**32 - 1


def window_of(model: PreTrainedModel) -> int | None:
    """The number of positions, where there is attention over all of them. Recurrent readers have no limit, nor do
    hybrids whose attention knows no positions (Jamba, Nemotron-H, most of Granite 4 and Zamba), though their
    configurations name one.

    A configuration that stretches them by YaRN names the stretched length or, as Qwen has it, the one before. Those
    of other kinds are taken at their word: Llama 3's and LongRoPE's name the stretched length, linear ones either,
    and transformers' dynamic frequencies are those of the longest prompt so far, so that beyond
    `max_position_embeddings` the logits would depend on what was read before."""
    config: Any = model.config.get_text_config()
    recurs = any(hasattr(module, "A_log") for module in model.modules())
    rotates = any(name.endswith("inv_freq") for name, _ in model.named_buffers())
    attends = getattr(config, "num_attention_heads", None)
    if not attends or (recurs and not rotates):
        return None
    rope = getattr(config, "rope_parameters", None) or {}
    mpts = getattr(config, "max_seq_len", None)
    named: Any = getattr(config, "max_position_embeddings", mpts)
    if rope.get("rope_type") == "yarn" and rope.get("factor"):
        return max(named, int(rope["original_max_position_embeddings"] * rope["factor"]))
    return named


def end_ids(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, stop_tokens: Sequence[str] = ()
) -> frozenset[int]:
    """The tokens that end a text, as the model's and the tokenizer's settings name them, and those of the
    spec's `stop_tokens` that are one token."""
    settings = getattr(model, "generation_config", model.config)  # code of a repository's own may set none
    configured: Any = getattr(settings, "eos_token_id", None)
    several = configured if isinstance(configured, list) else [configured]
    stops = (tokenizer(token, add_special_tokens=False)["input_ids"] for token in stop_tokens)
    ends = [ids[0] for ids in stops if len(ids) == 1]
    return frozenset(token for token in (*several, *ends, tokenizer.eos_token_id) if isinstance(token, int))


def stop_at(text: str, stop: Sequence[str]) -> int | None:
    """Where the text ends if one of the stop strings occurs after its first printing character."""
    first = len(text) - len(text.lstrip())
    found = [place for place in (text.find(string, first + 1) for string in stop) if place >= 0]
    return min(found, default=None)


def addressable_tokens(model: nn.Module) -> int | None:
    """How many tokens (rows times length) one forward may hold where the CUDA kernels run; None for no limit.

    `causal_conv1d` computes its offsets into what a Mamba's `in_proj` puts out in unsigned 32 bits, and beyond
    reads other tokens without a word. Mamba-2's Triton kernels compute theirs in signed 32 bits, over the same
    and over a state for every chunk. Beyond they crash, or answer wrongly (state-spaces/mamba, issues 503, 686
    and 1015)."""
    mixers = [module for module in model.modules() if hasattr(module, "A_log") and hasattr(module, "in_proj")]
    return min(map(_most_tokens, mixers), default=None)


def _most_tokens(mixer: Any) -> int:
    if not hasattr(mixer, "chunk_size"):
        return UINT32 // mixer.in_proj.out_features
    states = mixer.num_heads * mixer.head_dim * mixer.ssm_state_size
    return INT32 // max(mixer.in_proj.out_features, -(-states // mixer.chunk_size))


@contextmanager
def head_reads_last(model: PreTrainedModel, last: int) -> Iterator[None]:
    """For models that know no `logits_to_keep`: their head sees the last positions only (0: all)."""
    head = model.get_output_embeddings() if last else None
    if head is None:
        yield
        return
    hook = head.register_forward_pre_hook(lambda _, inputs: (inputs[0][:, -last:], *inputs[1:]))
    try:
        yield
    finally:
        hook.remove()
