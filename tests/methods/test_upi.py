"""UPI as a method: what it slows down and when, what it records, what it refuses."""

from __future__ import annotations

import pytest
import torch

from benchmarks.base import Task
from methods.base import fit
from methods.delta_scale import DeltaScale
from methods.full import Full
from methods.upi import UPI, calibrate, window_length
from models.delta_scaling import scaling
from models.engine import Engine
from models.receptive_field import profile
from models.specs import ReaderSpec

TASK = Task("t", "w1 w2 ", " : {question} ? :", "value", 6)
CONTEXT = " ".join(f"w{i % 50}" for i in range(3, 60))  # 63 tokens with the wording
TEXT = " ".join(f"w{i * i % 57}" for i in range(200))


@pytest.fixture
def reader(mamba, cache):
    """Trained on 21 tokens, a third of the prompt."""
    return Engine(mamba.model, mamba.tokenizer, ReaderSpec("random", "nowhere", trained_length=21))


def test_the_answer_is_decoded_from_a_prefill_with_the_widest_slowed_down(reader):
    made = calibrate(reader, TEXT, windows=2)
    ids, _ = fit(reader, TASK, TASK.prompt(CONTEXT, "w7"))
    plain = reader.prefill([ids])
    with scaling(reader.model, 1 / 3, made.widest(0.2)):
        prefill = reader.prefill([ids])
    assert not torch.equal(prefill.logits, plain.logits)
    answer = UPI(reader).answer(CONTEXT, "w7", task=TASK)
    assert answer.text == reader.decode(prefill, 6, stop=TASK.stop)
    assert answer.details == {
        "tokens": 63,
        "scale": 3.0,
        "scaled_channels": round(0.2 * made.distance.numel()),
        "calibration": f"{made.model}-{made.text}",
        "calibration_seconds": round(made.seconds, 3),
        "flags": ["triggered"],
    }


@pytest.mark.parametrize("base", [63, 64, 500])
def test_up_to_the_base_the_prompt_is_read_as_it_is(reader, base, monkeypatch):
    calibrate(reader, TEXT, windows=1)
    monkeypatch.setattr("models.delta_scaling.scaling", None)
    answer = UPI(reader, base=base, share=1.0).answer(CONTEXT, "w7", task=TASK)
    assert answer.text == Full(reader).answer(CONTEXT, "w7", task=TASK).text
    assert answer.details["scale"] == 1.0
    assert answer.details["scaled_channels"] == 0
    assert answer.details["flags"] == []


def test_one_token_beyond_the_base_is_enough(reader, monkeypatch):
    calibrate(reader, TEXT, windows=1)
    factors = []
    monkeypatch.setattr(
        "models.delta_scaling.scaling", lambda *given: factors.append(given[1]) or scaling(*given)
    )
    answer = UPI(reader, base=62).answer(CONTEXT, "w7", task=TASK)
    assert answer.details["flags"] == ["triggered"]
    assert answer.details["scale"] == round(63 / 62, 6)
    assert factors == [pytest.approx(62 / 63)]


def test_a_share_of_one_is_the_constant_scale(reader, monkeypatch):
    calibrate(reader, TEXT, windows=1)
    seen = []
    monkeypatch.setattr(reader, "decode", lambda prefill, *_, **__: seen.append(prefill.logits) or "")
    UPI(reader, share=1.0, base=9).answer(CONTEXT, "w7", task=TASK)
    DeltaScale(reader, factor=9 / 63).answer(CONTEXT, "w7", task=TASK)
    assert torch.equal(seen[0], seen[1])


def test_windows_are_the_papers_but_no_shorter_than_the_training_nor_eight_times_it(reader):
    for trained, window in ((2048, 16_000), (4096, 16_000), (32_768, 32_768), (600, 4800), (None, 16_000)):
        reader.spec = ReaderSpec("random", "nowhere", trained_length=trained)
        assert window_length(reader) == window


def test_a_reader_is_profiled_on_windows_at_even_spacing(reader):
    made = calibrate(reader, TEXT, windows=3)
    ids = reader.encode(TEXT)
    windows = [ids[0:168], ids[16:184], ids[32:200]]
    assert torch.equal(made.distance, profile(reader.model, lambda row: reader.prefill([row]), windows))
    assert (made.length, made.windows) == (168, 3)
    assert calibrate(reader, TEXT, windows=3).seconds == made.seconds  # kept, not measured again
    assert calibrate(reader, TEXT, windows=2).windows == 2


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"share": 0.0}, "share=0 slows nothing down"),
        ({"share": 1.1}, "share=1.1"),
        ({"base": 0}, "base=0 is too small"),
        ({"clause": "some"}, "clause='some'"),
    ],
)
def test_options_that_cannot_be_are_refused_in_one_line(reader, options, reason):
    calibrate(reader, TEXT, windows=1)
    with pytest.raises(ValueError, match=reason) as error:
        UPI(reader, **options)
    assert "\n" not in str(error.value)


def test_a_reader_of_unknown_training_needs_a_base(mamba):
    with pytest.raises(ValueError, match="give base="):
        UPI(mamba)


def test_a_reader_whose_window_ends_at_the_base_is_refused_before_it_is_calibrated(reader, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT, encoding="utf-8")
    reader.window = 22  # a prompt of 21 and one new token
    for options, shortest in (({}, 22), ({"text": text}, 22), ({"base": 30, "text": text}, 31)):
        refused = f"upi changes prompts of {shortest} .* random reads 22 at most.*: give a smaller base=..."
        with pytest.raises(ValueError, match=refused):
            UPI(reader, **options)
    assert window_length(reader) == 22
    UPI(reader, base=20, text=text)
    reader.window = 23
    UPI(reader, text=text)


def test_a_profile_over_no_windows_is_refused(reader):
    with pytest.raises(ValueError, match="windows=0"):
        calibrate(reader, TEXT, windows=0)
