"""UPI as a method: what it slows down and when, what it records, what it refuses."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks.base import Task
from comparison.provenance import method_version
from methods.base import prompt_ids
from methods.calibration import folder
from methods.delta_scale import DeltaScale
from methods.full import Full
from methods.upi import UPI, calibrate, window_length
from models.calibration import load, save
from models.delta_scaling import scaling
from models.engine import Engine
from models.receptive_field import Profile, profile
from models.specs import ReaderSpec

TASK = Task("t", "w1 w2 ", " : {question} ? :", "value", 6)
CONTEXT = " ".join(f"w{i % 50}" for i in range(3, 60))  # 63 tokens with the wording
TEXT = " ".join(f"w{i * i % 57}" for i in range(200))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def reader(mamba):
    """Trained on 21 tokens, a third of the prompt."""
    return Engine(mamba.model, mamba.tokenizer, ReaderSpec("random", "nowhere", trained_length=21))


def test_the_answer_is_decoded_from_a_prefill_with_the_widest_slowed_down(reader):
    made = calibrate(reader, TEXT, windows=2)
    ids = prompt_ids(reader, TASK, CONTEXT, "w7")
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


def test_calibration_at_the_first_answer_is_a_phase_of_its_cost_and_is_kept(reader, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT, encoding="utf-8")
    method, costs = UPI(reader, text=text), []
    for _ in range(2):
        with reader.meter() as cost:
            answer = method.answer(CONTEXT, "w7", task=TASK)
        costs.append(cost)
    assert costs[0].prompt_tokens - costs[1].prompt_tokens == 20 * 8 * 21
    assert {"calibrate", "prefill", "decode"} <= set(costs[0].seconds)
    (only,) = folder("upi").iterdir()
    made = load(Profile, only)
    assert answer.details["calibration"] == f"{made.model}-{made.text}" == only.stem
    with reader.meter() as cost:
        assert UPI(reader, text=text).answer(CONTEXT, "w7", task=TASK) == answer
    assert cost.prompt_tokens == costs[1].prompt_tokens


def test_another_calibration_is_another_version_of_the_method(reader, tmp_path):
    several = [calibrate(reader, text, windows=1) for text in (TEXT, TEXT[9:])]
    names = [f"{made.model}-{made.text}" for made in several]
    files = [folder("upi") / f"{name}.safetensors" for name in names]
    methods = [UPI(reader, calibration=file) for file in files]
    assert [method.weights for method in methods] == [{"calibration": name} for name in names]
    texts = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path, text in zip(texts, (TEXT, TEXT[9:]), strict=True):
        path.write_text(text, encoding="utf-8")
    methods += [UPI(reader, text=path) for path in texts]
    assert len({method_version(UPI, method.weights) for method in methods}) == 4


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


def test_without_a_calibration_the_command_that_makes_one_is_named(reader):
    with pytest.raises(ValueError, match=r"none in .*upi.*python -m methods.upi calibrate --model random$"):
        UPI(reader)


def test_a_calibration_of_another_model_is_refused_before_anything_is_read(reader, tmp_path):
    made = calibrate(reader, TEXT, windows=1)
    save(replace(made, model="0" * 16), tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"another model or precision: .*methods.upi calibrate"):
        UPI(reader, calibration=tmp_path / "other.safetensors")
    other = Engine(copy.deepcopy(reader.model), reader.tokenizer, reader.spec)
    other.model.backbone.layers[0].mixer.D.data += 1
    with pytest.raises(ValueError, match="none in"):
        UPI(other)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"share": 0.0}, "share=0 slows nothing down"),
        ({"share": 1.1}, "share=1.1"),
        ({"base": 0}, "base=0 is too small"),
        ({"text": Path("nowhere.txt")}, "text=nowhere.txt is not there"),
        ({"text": Path("a.txt"), "calibration": Path("b.safetensors")}, "both say .*: give one"),
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


def test_a_reader_without_a_delta_is_refused_in_one_line(reader, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT, encoding="utf-8")
    engine = SimpleNamespace(spec=reader.spec, model=torch.nn.Linear(2, 2))
    for options in ({}, {"text": text}):
        with pytest.raises(ValueError, match="has no delta") as error:
            UPI(engine, **options)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "windows", "reason"), [(TEXT, 0, "windows=0"), ("w1 w2", 1, "has 2 tokens")]
)
def test_a_profile_that_cannot_be_made_is_refused(reader, text, windows, reason):
    with pytest.raises(ValueError, match=reason):
        calibrate(reader, text, windows=windows)
