"""LongMamba as a method: what it filters and when, what it records, what it refuses."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from benchmarks.base import Task
from methods.base import fit
from methods.full import Full
from methods.longmamba import LongMamba, calibrate, window_length
from models.channel_filter import filtering
from models.engine import Engine
from models.specs import ReaderSpec

TASK = Task("t", "w1 w2 ", " : {question} ? :", "value", 6)
CONTEXT = " ".join(f"w{i % 50}" for i in range(3, 60))
QUESTION = "w7 w9"
TEXT = " ".join(f"w{i * i % 57}" for i in range(90))


@pytest.fixture
def reader(mamba, cache):
    """Trained on 20 tokens: prompts of 30 and more are filtered."""
    return Engine(mamba.model, mamba.tokenizer, ReaderSpec("random", "nowhere", trained_length=20))


def test_the_answer_is_decoded_from_the_filtered_prefill(reader):
    made = calibrate(reader, TEXT)
    theta = made.decay.median().item()
    ids, _ = fit(reader, TASK, TASK.prompt(CONTEXT, QUESTION))
    with filtering(reader.model, made, theta, len(ids)) as kept:
        prefill = reader.prefill([ids])
    answer = LongMamba(reader, theta=theta).answer(CONTEXT, QUESTION, task=TASK)
    assert answer.text == reader.decode(prefill, 6, stop=TASK.stop)
    assert answer.details["tokens"] == 64
    assert {name: answer.details[name] for name in ("kept_share", "kept_sum")} == kept.shares()
    assert 0 < answer.details["kept_share"] < 1
    assert answer.details["global_channels"] == pytest.approx(0.5, abs=0.01)
    assert answer.details["calibration"] == f"{made.model}-{made.text}"
    assert answer.details["calibration_seconds"] == round(made.seconds, 3)
    assert answer.details["flags"] == ["triggered"]


def test_a_prompt_below_one_and_a_half_trained_lengths_is_read_as_it_is(reader):
    calibrate(reader, TEXT)
    short = " ".join(CONTEXT.split()[:22])  # 29 tokens with the wording
    answer = LongMamba(reader, theta=0.0).answer(short, QUESTION, task=TASK)
    assert answer.details["tokens"] == 29
    assert answer.text == Full(reader).answer(short, QUESTION, task=TASK).text
    assert answer.details["flags"] == []
    assert answer.details["kept_share"] == 1.0


def test_windows_lie_at_even_spacing_through_the_text(reader, monkeypatch):
    rows = []
    monkeypatch.setattr(reader, "prefill", lambda row: rows.append(row[0]) or Engine.prefill(reader, row))
    calibrate(reader, TEXT, windows=3)
    ids = reader.encode(TEXT)
    assert rows == [ids[0:20], ids[35:55], ids[70:90]]
    rows.clear()
    calibrate(reader, TEXT, windows=3)
    assert rows == []
    calibrate(reader, TEXT, windows=3, clip=10.0)
    assert len(rows) == 3


@pytest.mark.parametrize(("trained", "window"), [(2048, 2000), (4096, 4000), (32768, 32000), (600, 600)])
def test_a_window_is_the_trained_length_in_whole_thousands(reader, trained, window):
    reader.spec = ReaderSpec("random", "nowhere", trained_length=trained)
    assert window_length(reader) == window


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"theta": 1.0}, "theta=1.0"),
        ({"clip": 10.0}, "give text=FILE beside it, or a file of .* --clip 10$"),
        ({"clip": 10.0, "calibration": Path("b.safetensors")}, "give text=FILE beside it"),
    ],
)
def test_options_that_cannot_be_are_refused(reader, options, reason):
    calibrate(reader, TEXT)
    with pytest.raises(ValueError, match=reason):
        LongMamba(reader, **options)


@pytest.mark.parametrize(
    ("options", "reason"), [({"clip": 0.0}, "clip=0"), ({"windows": 0}, "over 0 windows")]
)
def test_a_calibration_that_cannot_be_made_is_refused(reader, options, reason):
    with pytest.raises(ValueError, match=reason):
        calibrate(reader, TEXT, **options)


def test_a_reader_of_unknown_training_is_refused(reader):
    reader.spec = ReaderSpec("random", "nowhere")
    with pytest.raises(ValueError, match="trained on is not known"):
        calibrate(reader, TEXT)


@pytest.mark.parametrize("length", [20, 2048])
def test_a_reader_whose_window_ends_before_anything_is_filtered_is_refused_before_it_is_calibrated(
    reader, tmp_path, length
):
    text = tmp_path / "text.txt"
    text.write_text(TEXT, encoding="utf-8")
    reader.spec = ReaderSpec("random", "nowhere", trained_length=length)
    starts = {20: 30, 2048: 3000}[length]
    reader.window = starts  # a prompt of 29 and one new token
    refused = f"longmamba changes prompts of {starts:,} tokens and more, and random reads {starts:,} at most"
    for make in (LongMamba, partial(LongMamba, text=text), partial(calibrate, text=TEXT)):
        with pytest.raises(ValueError, match=refused) as error:
            make(reader)
        assert "\n" not in str(error.value)
    reader.window = starts + 1
    LongMamba(reader, text=text)
