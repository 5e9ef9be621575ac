"""The engine on tiny random readers: exact batching, exact cutting, one token at a time, one-line errors."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from families import READ_AGAIN, WINDOWS
from transformers import LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from models.engine import Engine, Prefill
from models.specs import ReaderError, ReaderSpec

Reader = Callable[..., Engine]
Rows = Callable[[int, int], list[list[int]]]
EOS = 1


def growing(engine: Engine, ids: list[int], steps: int) -> str:
    """Greedy decoding that reads the whole prompt anew for every token: no state at all."""
    grown = list(ids)
    for _ in range(steps):
        with torch.inference_mode():
            logits = engine.model(input_ids=torch.tensor([grown]), use_cache=False).logits
        token = int(logits[0, -1].argmax())
        if token == EOS:
            break
        grown.append(token)
    return engine.text(grown[len(ids) :])


@contextmanager
def watched(engine: Engine) -> Iterator[SimpleNamespace]:
    """The lengths of the model's forward calls, and the shapes that its head put out."""
    seen = SimpleNamespace(lengths=[], head=[])
    head: Any = engine.model.get_output_embeddings()
    before = engine.model.register_forward_pre_hook(
        lambda _, __, given: seen.lengths.append(given["input_ids"].shape[1]), with_kwargs=True
    )
    after = head.register_forward_hook(lambda _, __, logits: seen.head.append(tuple(logits.shape)))
    try:
        yield seen
    finally:
        before.remove()
        after.remove()


# Exactness, every family


@pytest.mark.parametrize("length", [1, 2, 23])
def test_generate_equals_reading_the_grown_prompt_anew_for_every_token(
    family: str, reader: Reader, rows: Rows, length: int
) -> None:
    engine = reader(family)
    engine.prefill(rows(1, 9))  # what was read before must not matter, wherever the family keeps its state
    ids = rows(1, length)[0]
    assert engine.generate(ids, 10) == growing(engine, ids, 10) != ""


def test_decoding_feeds_one_token_at_a_time_and_never_reads_the_prompt_again(
    family: str, reader: Reader, rows: Rows
) -> None:
    engine = reader(family)
    with watched(engine) as seen, engine.meter() as cost:
        engine.generate(rows(1, 23)[0], 5)
    assert seen.lengths == [23, 1, 1, 1, 1]
    assert (cost.calls, cost.prompt_tokens, cost.new_tokens) == (5, 23, 5)


def test_rows_read_together_equal_rows_read_alone(family: str, reader: Reader, rows: Rows) -> None:
    engine = reader(family)
    batch = rows(4, 17)
    together = engine.prefill(batch, last=3).logits
    assert together.shape == (4, 3, engine.vocab_size)
    assert together.dtype == torch.float32
    for row, logits in zip(batch, together, strict=True):
        torch.testing.assert_close(logits, engine.prefill([row], last=3).logits[0], atol=1e-4, rtol=0)


def test_a_row_selected_from_a_batch_decodes_as_if_read_alone(
    family: str, reader: Reader, rows: Rows
) -> None:
    engine = reader(family)
    batch = rows(3, 17)
    together = engine.prefill(batch)
    picked = [engine.select(together, row) for row in range(3)]
    read_again = family in READ_AGAIN
    assert [one.again for one in picked] == [read_again] * 3
    assert picked[0].logits.untyped_storage().nbytes() == picked[0].logits.nbytes  # no view of the batch
    assert [engine.decode(one, 8) for one in picked] == [growing(engine, row, 8) for row in batch]


def test_a_prefill_can_be_decoded_twice_and_after_others_were_read(
    family: str, reader: Reader, rows: Rows
) -> None:
    engine = reader(family)
    first, second = rows(2, 17)
    wanted = growing(engine, first, 8)
    prefill = engine.prefill([first])
    assert engine.decode(prefill, 8) == wanted
    engine.generate(second, 3)
    assert engine.decode(prefill, 8) == wanted
    assert engine.decode(engine.select(prefill, 0), 8) == wanted
    assert prefill.again == (family in READ_AGAIN)


def test_decoding_goes_on_from_the_last_position_however_many_were_asked_for(
    reader: Reader, rows: Rows
) -> None:
    engine, row = reader(), rows(1, 9)[0]
    assert engine.decode(engine.prefill([row], last=4), 5) == growing(engine, row, 5)


def test_reading_a_row_again_is_counted(reader: Reader, rows: Rows) -> None:
    engine = reader("Rwkv")
    together = engine.prefill(rows(3, 17))
    with engine.meter() as cost:
        engine.decode(engine.select(together, 2), 4)
    assert (cost.prompt_tokens, cost.new_tokens, cost.calls) == (17, 4, 4)
    assert cost.seconds.keys() == {"prefill", "decode", "total"}


def test_score_is_the_log_probability_of_the_continuation(family: str, reader: Reader, rows: Rows) -> None:
    engine = reader(family)
    prompt, more = rows(1, 13)[0], rows(1, 4)[0]
    with torch.inference_mode():
        logits = engine.model(input_ids=torch.tensor([prompt + more]), use_cache=False).logits[0]
    steps = logits.float().log_softmax(-1)[len(prompt) - 1 : -1]
    wanted = sum(steps[place, token].item() for place, token in enumerate(more))
    with watched(engine) as seen, engine.meter() as cost:
        assert engine.score(prompt, more) == pytest.approx(wanted, abs=1e-4)
    assert (len(seen.lengths), cost.calls, cost.prompt_tokens) == (1, 1, 16)


def test_a_score_takes_a_prompt_and_a_continuation(reader: Reader) -> None:
    for prompt, more in (([], [7]), ([7], [])):
        with pytest.raises(ReaderError, match="a prompt and a continuation of at least one token each"):
            reader().score(prompt, more)


# The size of the logits


def test_the_head_sees_no_more_positions_than_were_asked_for(family: str, reader: Reader, rows: Rows) -> None:
    engine = reader(family)
    with watched(engine) as seen:
        engine.prefill(rows(2, 40))
        engine.prefill(rows(2, 40), last=3)
        engine.score(rows(1, 40)[0], [7, 8])
    size = engine.vocab_size
    assert seen.head == [(2, 1, size), (2, 3, size), (1, 2, size)]


def test_a_model_that_cannot_be_told_has_its_head_fed_the_last_positions_only(
    reader: Reader, random_model: Callable[[str], PreTrainedModel], tokenizer: Any, rows: Rows
) -> None:
    class Deaf(LlamaForCausalLM):
        def forward(self, input_ids, past_key_values=None, use_cache=None, position_ids=None, **_) -> Any:
            return super().forward(
                input_ids=input_ids,
                past_key_values=past_key_values,
                use_cache=use_cache,
                position_ids=position_ids,
            )

    config: Any = random_model("Llama").config
    model = Deaf(config)
    model.load_state_dict(random_model("Llama").state_dict())
    deaf = Engine(model, tokenizer, ReaderSpec(name="deaf", path="deaf"))
    with watched(deaf) as seen:
        logits = deaf.prefill(rows(2, 40), last=3).logits
    assert seen.head == [(2, 3, deaf.vocab_size)]
    torch.testing.assert_close(logits, reader("Llama").prefill(rows(2, 40), last=3).logits)
    assert deaf.generate(rows(1, 9)[0], 5) == reader("Llama").generate(rows(1, 9)[0], 5)


def test_logits_are_float32_and_dropout_is_off_however_the_model_was_given(
    random_model: Callable[[str], PreTrainedModel], tokenizer: Any
) -> None:
    model = deepcopy(random_model("Llama")).bfloat16().train()
    engine = Engine(model, tokenizer, ReaderSpec(name="own", path="own"))
    assert engine.prefill([[7, 8]]).logits.dtype == torch.float32
    assert not any(module.training for module in model.modules())


# Batches


@pytest.mark.parametrize(
    ("budget", "order"), [(20, [[0, 2], [1, 4], [5], [3]]), (25, [[0, 2], [5], [1, 4], [3]])]
)
def test_batches_hold_equal_lengths_in_order_and_fill_the_budget(
    budget: int, order: list[list[int]], reader: Reader, rows: Rows
) -> None:
    engine = reader(batch_tokens=budget)
    lengths = [10, 7, 10, 10, 7, 30]
    ragged = [rows(6, length)[place] for place, length in enumerate(lengths)]
    batches = list(engine.prefill_batches(ragged))
    assert [positions for positions, _ in batches] == order
    for positions, prefill in batches:
        for place, position in enumerate(positions):
            alone = engine.prefill([ragged[position]]).logits[0]
            torch.testing.assert_close(prefill.logits[place], alone, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("budget", "order"),
    [(40, [[0, 1, 2, 3], [4, 5]]), (20, [[0, 1], [2, 3], [4], [5]]), (99, [[0, 1, 2, 3, 4, 5]])],
)
def test_the_cpus_own_mamba_reads_neighbours_of_any_length_together(
    budget: int, order: list[list[int]], rows: Rows
) -> None:
    engine = Engine.load("tiny", device="cpu")
    engine.batch_tokens = budget
    ragged = [rows(6, length)[place] for place, length in enumerate([10, 7, 10, 10, 7, 30])]
    with engine.meter() as cost:
        batches = list(engine.prefill_batches(ragged, last=2))
    assert [positions for positions, _ in batches] == order
    assert (cost.calls, cost.prompt_tokens) == (len(order), 74)
    for positions, prefill in batches:
        for place, position in enumerate(positions):
            alone, selected = engine.prefill([ragged[position]], last=2), engine.select(prefill, place)
            torch.testing.assert_close(selected.logits, alone.logits, atol=1e-4, rtol=0)
            assert engine.decode(selected, 6) == engine.decode(alone, 6)


def test_rows_are_taken_only_when_a_batch_wants_them(reader: Reader, rows: Rows) -> None:
    """A book's rows are never in memory together."""
    taken: list[int] = []

    def one_by_one() -> Iterator[list[int]]:
        for place, row in enumerate(rows(6, 10)):
            taken.append(place)
            yield row

    batches = reader(batch_tokens=29).prefill_batches(one_by_one())
    assert [next(batches)[0], list(taken)] == [[0, 1], [0, 1]]
    assert [next(batches)[0], list(taken)] == [[2, 3], [0, 1, 2, 3]]


def test_a_batch_that_was_let_go_is_not_held_while_the_next_one_is_read(reader: Reader, rows: Rows) -> None:
    """Memory has run out before, so that rows that came together are read in several batches."""
    engine = reader(batch_tokens=60)
    read: list[weakref.ref[Prefill]] = []
    alive: list[int] = []

    def before(*_: Any) -> None:
        alive.append(sum(ref() is not None for ref in read))
        if len(alive) == 1:
            raise torch.OutOfMemoryError

    hook = engine.model.register_forward_pre_hook(before)
    for _, prefill in engine.prefill_batches(rows(6, 10)):
        read.append(weakref.ref(prefill))
        del prefill
    hook.remove()
    assert alive == [0, 0, 0]


@pytest.mark.parametrize(
    ("batch", "last", "says"),
    [
        ([[7, 8], [9]], 1, "unequal length"),
        ([], 1, "empty prompt"),
        ([[]], 1, "empty prompt"),
        ([[7, 8]], 3, "last 3 positions asked of a row of 2"),
        ([[7, 8]], 0, "last 0 positions"),
        ([[7, 8, 9], [9]], 2, "last 2 positions asked of a row of 1"),
    ],
)
def test_rows_that_cannot_be_read_are_refused(
    reader: Reader, batch: list[list[int]], last: int, says: str
) -> None:
    with pytest.raises(ReaderError, match=says):
        reader().prefill(batch, last=last)


@pytest.mark.parametrize("count", [1, 2])
def test_a_row_for_whose_copy_memory_is_too_short_is_read_again(
    count: int, reader: Reader, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def select_row(*_: Any) -> None:
        raise torch.OutOfMemoryError

    engine = reader(batch_tokens=40)
    prefill, alone = engine.prefill(rows(count, 9)), engine.generate(rows(count, 9)[0], 4)
    monkeypatch.setattr("models.engine.select_row", select_row)
    cut = engine.select(prefill, 0)
    assert cut.again
    assert engine.batch_tokens == (40 if count == 1 else 9)
    monkeypatch.undo()
    assert engine.decode(cut, 4) == alone


def test_selecting_a_row_that_is_not_there_is_an_error(reader: Reader, rows: Rows) -> None:
    engine = reader()
    prefill = engine.prefill(rows(2, 5))
    for row in (2, -1):
        with pytest.raises(IndexError):
            engine.select(prefill, row)


def test_decode_takes_one_row_and_at_least_one_token(reader: Reader, rows: Rows) -> None:
    engine = reader()
    with pytest.raises(ReaderError, match="select one first"):
        engine.decode(engine.prefill(rows(2, 5)), 4)
    with pytest.raises(ReaderError, match="max_new_tokens is 0"):
        engine.generate([7, 8], 0)


# Windows and broken numbers


def test_a_prompt_longer_than_the_window_is_refused(reader: Reader, rows: Rows) -> None:
    engine = reader("Llama")
    assert engine.window == 256
    engine.prefill(rows(1, 256))
    with pytest.raises(ReaderError, match="llama reads 256 tokens and got 257"):
        engine.prefill(rows(1, 257))
    with pytest.raises(ReaderError, match="got 257"):
        engine.score(rows(1, 255)[0], [7, 8, 9])


def test_recurrent_readers_have_no_window_and_a_spec_may_set_one(reader: Reader, family: str) -> None:
    assert reader(family).window == WINDOWS[family]
    assert reader(family, spec={"window": 99}).window == 99


def test_a_token_that_the_embedding_has_no_row_for_is_refused(family: str, reader: Reader) -> None:
    engine = reader(family)
    assert engine.prefill([[7, 63]]).logits.shape == (1, 1, 64)
    for read in (
        lambda: engine.prefill([[7, 64], [7, 8]]),
        lambda: engine.generate([64, 7], 2),
        lambda: engine.score([7, 64], [8]),
        lambda: list(engine.prefill_batches([[7, 8], [64]])),
    ):
        with pytest.raises(ReaderError, match=r"token 64 has no row in the embedding of .*, which has 64"):
            read()


def test_nan_is_an_error_and_never_an_answer(
    random_model: Callable[[str], PreTrainedModel], tokenizer: PreTrainedTokenizerFast
) -> None:
    model = deepcopy(random_model("Llama"))
    model.lm_head.weight.data.fill_(float("nan"))
    engine = Engine(model, tokenizer, ReaderSpec(name="broken", path="broken"))
    with pytest.raises(ReaderError, match="broken answers NaN"):
        engine.generate([7, 8], 3)


# Cost


def test_the_meter_counts_what_happens_inside_it(reader: Reader, rows: Rows) -> None:
    engine = reader()
    engine.generate([7, 8], 3)
    with engine.meter() as cost:
        with engine.phase("retrieve"):
            engine.count_encoder_tokens(50)
        for _, prefill in engine.prefill_batches(rows(4, 10)):
            picked: Prefill = engine.select(prefill, 3)
        engine.decode(picked, 3)
        engine.score([7, 8, 9], [10, 11])
    assert cost.prompt_tokens == 4 * 10 + 4
    assert (cost.new_tokens, cost.calls, cost.encoder_tokens, cost.halvings) == (3, 1 + 2 + 1, 50, 0)
    assert cost.seconds.keys() == {"retrieve", "prefill", "decode", "score", "total"}
    assert sum(cost.seconds.values()) <= 2 * cost.seconds["total"]
    assert cost.peak_bytes > 1 << 20
