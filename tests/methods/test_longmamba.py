"""LongMamba as a method: where its calibration comes from, what it records, what it refuses."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.base import Task
from comparison.provenance import method_version
from methods.base import prompt_ids
from methods.calibration import folder
from methods.full import Full
from methods.longmamba import LongMamba, calibrate, window_length
from models.channel_filter import filtering
from models.engine import Engine
from models.specs import ReaderSpec

TASK = Task("t", "w1 w2 ", " : {question} ? :", "value", 6)
CONTEXT = " ".join(f"w{i % 50}" for i in range(3, 60))
QUESTION = "w7 w9"
TEXT = " ".join(f"w{i * i % 57}" for i in range(90))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def reader(mamba):
    """Trained on 20 tokens: prompts of 30 and more are filtered."""
    return Engine(mamba.model, mamba.tokenizer, ReaderSpec("random", "nowhere", trained_length=20))


def test_the_answer_is_decoded_from_the_filtered_prefill(reader):
    made = calibrate(reader, TEXT)
    theta = made.decay.median().item()
    ids = prompt_ids(reader, TASK, CONTEXT, QUESTION)
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


def test_calibration_at_the_first_answer_is_a_phase_of_its_cost_and_is_kept(reader, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT, encoding="utf-8")
    method = LongMamba(reader, text=text)
    costs = []
    for _ in range(2):
        with reader.meter() as cost:
            answer = method.answer(CONTEXT, QUESTION, task=TASK)
        costs.append(cost)
    assert costs[0].prompt_tokens - costs[1].prompt_tokens == 5 * 20
    assert {"calibrate", "prefill", "decode"} <= set(costs[0].seconds)
    assert answer.details["calibration_seconds"] > 0
    assert len(list(folder("longmamba").iterdir())) == 1
    with reader.meter() as cost:
        assert LongMamba(reader, text=text).answer(CONTEXT, QUESTION, task=TASK) == answer
    assert cost.prompt_tokens == costs[1].prompt_tokens


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


def test_without_a_calibration_the_command_that_makes_one_is_named(reader):
    with pytest.raises(ValueError, match=r"none in .*python -m methods.longmamba calibrate --model random$"):
        LongMamba(reader)


def test_of_several_calibrations_one_has_to_be_named(reader):
    names = [
        f"{made.model}-{made.text}.safetensors"
        for made in (calibrate(reader, TEXT), calibrate(reader, TEXT[9:]))
    ]
    with pytest.raises(ValueError, match="give calibration=FILE") as error:
        LongMamba(reader)
    assert all(name in str(error.value) for name in names)
    LongMamba(reader, calibration=folder("longmamba") / names[0])


def test_the_calibration_is_part_of_the_methods_version(reader, tmp_path):
    made = [calibrate(reader, text, clip=clip) for text, clip in ((TEXT, 5.0), (TEXT[9:], 5.0), (TEXT, 9.0))]
    names = [f"{one.model}-{one.text}" for one in made]
    methods = [LongMamba(reader, calibration=folder("longmamba") / f"{name}.safetensors") for name in names]
    assert [method.weights for method in methods] == [{"calibration": name} for name in names]
    for number in (0, 1):
        (tmp_path / f"{number}.txt").write_text(TEXT[number:], encoding="utf-8")
        methods.append(LongMamba(reader, text=tmp_path / f"{number}.txt"))
    assert len({method_version(LongMamba, method.weights) for method in methods}) == 5


def test_a_calibration_of_another_model_is_refused_before_anything_is_read(reader):
    made = calibrate(reader, TEXT)
    other = Engine(copy.deepcopy(reader.model), reader.tokenizer, reader.spec)
    other.model.backbone.layers[0].mixer.D.data += 1
    with pytest.raises(ValueError, match="made for another model"):
        LongMamba(other, calibration=folder("longmamba") / f"{made.model}-{made.text}.safetensors")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"theta": 1.0}, "theta=1.0"),
        ({"text": "nowhere.txt"}, "text=nowhere.txt is not there"),
        ({"text": "a.txt", "calibration": "b.safetensors"}, "both say .*: give one"),
        ({"clip": 10.0}, "give text=FILE beside it, or a file of .* --clip 10$"),
        ({"clip": 10.0, "calibration": "b.safetensors"}, "give text=FILE beside it"),
    ],
)
def test_options_that_cannot_be_are_refused(reader, options, reason):
    calibrate(reader, TEXT)
    options = {name: Path(value) if isinstance(value, str) else value for name, value in options.items()}
    with pytest.raises(ValueError, match=reason):
        LongMamba(reader, **options)


@pytest.mark.parametrize(
    ("options", "reason"), [({"clip": 0.0}, "clip=0"), ({"windows": 0}, "over 0 windows")]
)
def test_a_calibration_that_cannot_be_made_is_refused(reader, options, reason):
    with pytest.raises(ValueError, match=reason):
        calibrate(reader, TEXT, **options)


def test_a_text_shorter_than_a_window_is_refused(reader):
    with pytest.raises(ValueError, match="has 3 tokens: expected at least one window of 20 tokens"):
        calibrate(reader, "w1 w2 w3")


def test_a_reader_of_unknown_training_is_refused(reader):
    reader.spec = ReaderSpec("random", "nowhere")
    with pytest.raises(ValueError, match="trained on is not known"):
        calibrate(reader, TEXT)


def test_a_reader_without_a_delta_is_refused_before_it_reads(reader, tmp_path):
    import torch

    text = tmp_path / "text.txt"
    text.write_text(TEXT, encoding="utf-8")
    engine = SimpleNamespace(spec=reader.spec, model=torch.nn.Linear(2, 2))
    for options in ({}, {"text": text}):
        with pytest.raises(ValueError, match="has no delta"):
            LongMamba(engine, **options)
