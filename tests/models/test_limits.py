"""Where a reader stops: what the CUDA kernels can address, and how the engine keeps to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import transformers
from families import random_model
from torch import nn

from models.engine import Engine
from models.limits import addressable_tokens, stop_at, window_of
from models.shapes import SHAPES
from models.specs import ReaderError

Reader = Callable[..., Engine]


def test_the_limit_of_published_mamba2_readers_is_where_they_were_seen_to_fail() -> None:
    """mamba2-1.3b reads 200,000 tokens and crashes at 300,000 (state-spaces/mamba, issue 503)."""
    sizes = dict(SHAPES["mamba2-1.3b"]) | {"num_hidden_layers": 1}
    sizes.pop("model_type")
    with torch.device("meta"):
        model = transformers.Mamba2ForCausalLM(transformers.Mamba2Config(**sizes))
    limit = addressable_tokens(model)
    assert limit == (2**31 - 1) // (2 * 4096 + 2 * 128 + 64)
    assert 200_000 < limit < 300_000


def test_a_mamba_ends_where_its_convolution_would_read_other_tokens() -> None:
    """causal_conv1d multiplies a token's place with the width of `in_proj`'s output in unsigned 32 bits."""
    sizes = dict(SHAPES["falcon-mamba-7b"]) | {"num_hidden_layers": 1}
    sizes.pop("model_type")
    with torch.device("meta"):
        model = transformers.FalconMambaForCausalLM(transformers.FalconMambaConfig(**sizes))
    limit = addressable_tokens(model)
    assert limit is not None
    assert (limit * 2 * 8192, (limit + 1) * 2 * 8192) == (2**32 - 2 * 8192, 2**32)


class Mixer(nn.Module):
    """What the limit is computed from: 4 heads of 8 channels with 16 states each, 512 for every chunk."""

    num_heads, head_dim, ssm_state_size = 4, 8, 16

    def __init__(self, chunk_size: int) -> None:
        super().__init__()
        self.chunk_size, self.A_log, self.in_proj = (
            chunk_size,
            nn.Parameter(torch.zeros(4)),
            nn.Linear(2, 100),
        )


def test_the_limit_is_of_the_mixer_that_writes_most_and_of_its_states_where_chunks_are_short() -> None:
    """5 tokens to 512 states are 102.4, so that 103 places are counted for each."""
    long, short = Mixer(256), Mixer(5)
    assert addressable_tokens(long) == 21_474_836  # of 2^31 - 1, with 100 for each
    assert addressable_tokens(short) == 20_849_355
    assert addressable_tokens(nn.ModuleList([long, short, long])) == 20_849_355


@pytest.mark.parametrize(
    ("family", "limited"),
    [
        *(
            (name, True)
            for name in ("Mamba", "FalconMamba", "Mamba2", "FalconH1", "Zamba2", "Jamba", "Bamba")
        ),
        *((name, True) for name in ("GraniteMoeHybrid", "NemotronH")),
        *((name, False) for name in ("Llama", "RecurrentGemma", "Qwen3Next", "Lfm2")),
    ],
)
def test_only_families_with_mamba_mixers_are_limited(family: str, limited: bool, reader: Reader) -> None:
    assert (addressable_tokens(reader(family).model) is not None) == limited
    assert reader(family).addressable is None  # the limit is that of the CUDA kernels
    assert (reader(family, kernel="cuda").addressable is not None) == limited


def test_micro_batches_stay_below_the_limit_and_a_longer_row_is_refused(
    reader: Reader, rows: Callable[[int, int], list[list[int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.limits.INT32", 45 * (2 * 64 + 2 * 2 * 8 + 8))
    engine = reader("Mamba2", kernel="cuda", batch_tokens=1000)
    assert engine.addressable == 45
    batches = [positions for positions, _ in engine.prefill_batches(rows(5, 20))]
    assert batches == [[0, 1], [2, 3], [4]]
    for call in (engine.prefill, lambda batch: engine.generate(batch[0], 2)):
        with pytest.raises(ReaderError, match="1 x 46 tokens are more than the 45 that its CUDA"):
            call(rows(1, 46))
    with pytest.raises(ReaderError, match="more than the 45"):
        engine.score(rows(1, 40)[0], [7] * 7)


@pytest.mark.parametrize(
    ("family", "changes", "placed"),
    [
        ("Llama", {}, True),
        ("FalconH1", {}, True),
        ("Bamba", {}, True),
        ("Qwen3Next", {}, True),
        ("Jamba", {}, False),
        ("NemotronH", {}, False),
        ("Zamba2", {}, True),
        ("Zamba2", {"use_mem_rope": False}, False),
        ("GraniteMoeHybrid", {}, False),
        ("GraniteMoeHybrid", {"position_embedding_type": "rope"}, True),
    ],
)
@torch.inference_mode()
def test_a_reader_has_a_window_where_positions_change_what_it_reads(
    family: str, changes: dict[str, object], placed: bool, rows: Callable[[int, int], list[list[int]]]
) -> None:
    model, places = random_model(family, **changes), torch.arange(20)[None]
    ids = torch.tensor(rows(1, 20))
    near, far = (model(input_ids=ids, position_ids=step * places).logits for step in (1, 3))
    assert bool((near - far).abs().max() > 1e-2) == placed
    window = window_of(model)
    assert window == (model.config.max_position_embeddings if placed else None)


def test_learned_positions_are_a_window_too() -> None:
    config = transformers.GPT2Config(n_embd=32, n_layer=1, n_head=4, n_positions=77, vocab_size=64)
    assert window_of(transformers.GPT2LMHeadModel(config)) == 77


def test_the_length_of_mpts_table_is_a_window() -> None:
    config = transformers.MptConfig(d_model=32, n_heads=4, n_layers=1, max_seq_len=77, vocab_size=64)
    model = transformers.MptForCausalLM(config)
    assert window_of(model) == 77
    model(input_ids=torch.full((1, 77), 7))
    with pytest.raises(RuntimeError):
        model(input_ids=torch.full((1, 78), 7))


@pytest.mark.parametrize(
    ("kind", "named", "window"),
    [
        ("yarn", 256, 1024),  # as Qwen2.5 is told to
        ("yarn", 1024, 1024),  # as DeepSeek's are
        ("yarn", 2048, 2048),
        ("linear", 256, 256),
        ("dynamic", 256, 256),
    ],
)
def test_a_window_that_yarn_stretches_is_the_stretched_one(kind: str, named: int, window: int) -> None:
    rope = {"rope_type": kind, "rope_theta": 1e4, "factor": 4.0}
    rope |= {"original_max_position_embeddings": 256} if kind == "yarn" else {}
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.Qwen2Config(
        vocab_size=64, max_position_embeddings=named, rope_parameters=rope, **sizes
    )
    assert window_of(transformers.Qwen2ForCausalLM(config)) == window


@torch.inference_mode()
def test_dynamic_positions_beyond_their_window_depend_on_what_was_read_before(
    rows: Callable[[int, int], list[list[int]]],
) -> None:
    """Why that window is not a longer one."""
    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 64}
    config = transformers.LlamaConfig(max_position_embeddings=32, rope_parameters=rope, **sizes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.LlamaForCausalLM(config).eval()
    inside, beyond, longer = (torch.tensor(rows(1, length)) for length in (31, 40, 90))
    before = [model(input_ids=ids).logits for ids in (inside, beyond)]
    model(input_ids=longer)
    assert not torch.allclose(model(input_ids=beyond).logits, before[1], atol=1e-4)
    assert torch.allclose(model(input_ids=inside).logits, before[0], atol=1e-5)


@pytest.mark.parametrize(
    ("text", "end"), [("\nab\ncd", 3), ("ab", None), ("\n\n", None), ("a.b\n", 1), ("", None)]
)
def test_the_first_stop_string_after_something_printed_ends_the_text(text: str, end: int | None) -> None:
    assert stop_at(text, ("\n", ".")) == end
