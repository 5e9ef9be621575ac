"""What LongMamba and UPI share: where a reader's calibration comes from, how it is kept and found again."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks.base import Task
from comparison.provenance import method_version
from methods import longmamba, upi
from methods.calibration import even_windows, folder
from methods.longmamba import LongMamba
from methods.upi import UPI
from models.calibration import load
from models.channel_filter import Calibration
from models.engine import Engine
from models.receptive_field import Profile
from models.specs import ReaderSpec

TASK = Task("t", "w1 w2 ", " : {question} ? :", "value", 6)
CONTEXT = " ".join(f"w{i % 50}" for i in range(3, 60))
TEXT = " ".join(f"w{i * i % 57}" for i in range(200))
CASES = [
    SimpleNamespace(name="longmamba", method=LongMamba, calibrate=longmamba.calibrate, kind=Calibration),
    SimpleNamespace(name="upi", method=UPI, calibrate=upi.calibrate, kind=Profile),
]


@pytest.fixture(params=CASES, ids=lambda one: one.name)
def case(request):
    return request.param


@pytest.fixture
def reader(mamba, cache):
    return Engine(mamba.model, mamba.tokenizer, ReaderSpec("random", "nowhere", trained_length=20))


@pytest.fixture
def texts(tmp_path):
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path, text in zip(paths, (TEXT, TEXT[9:]), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


def test_calibration_at_the_first_answer_is_a_phase_of_its_cost_and_is_kept(case, reader, texts):
    made, costs = case.method(reader, text=texts[0]), []
    for _ in range(2):
        with reader.meter() as cost:
            answer = made.answer(CONTEXT, "w7", task=TASK)
        costs.append(cost)
    read = {"longmamba": 5 * 20, "upi": 20 * 8 * 20}[case.name]
    assert costs[0].prompt_tokens - costs[1].prompt_tokens == read
    assert {"calibrate", "prefill", "decode"} <= set(costs[0].seconds)
    (only,) = folder(case.name).iterdir()
    kept = load(case.kind, only)
    assert answer.details["calibration"] == f"{kept.model}-{kept.text}" == only.stem
    assert answer.details["calibration_seconds"] == round(kept.seconds, 3) > 0
    with reader.meter() as cost:
        assert case.method(reader, text=texts[0]).answer(CONTEXT, "w7", task=TASK) == answer
    assert cost.prompt_tokens == costs[1].prompt_tokens


def test_without_a_calibration_the_command_that_makes_one_is_named(case, reader):
    make = rf"none in .*{case.name} where .*python -m methods.{case.name} calibrate --model random$"
    with pytest.raises(ValueError, match=make):
        case.method(reader)


def test_of_several_calibrations_one_has_to_be_named(case, reader):
    for text in (TEXT, TEXT[9:]):
        case.calibrate(reader, text, windows=1)
    with pytest.raises(ValueError, match=r"give calibration=FILE, or delete all but one$") as error:
        case.method(reader)
    files = list(folder(case.name).iterdir())
    assert len(files) == 2
    for file in files:
        assert file.name in str(error.value)
        assert case.method(reader, calibration=file).weights == {"calibration": file.stem}


def test_another_calibration_is_another_version_of_the_method(case, reader, texts):
    several = [case.calibrate(reader, text, windows=n) for text, n in ((TEXT, 1), (TEXT[9:], 1), (TEXT, 2))]
    marks = [f"{made.model}-{made.text}" for made in several]
    methods = [case.method(reader, calibration=folder(case.name) / f"{mark}.safetensors") for mark in marks]
    assert [one.weights for one in methods] == [{"calibration": mark} for mark in marks]
    methods += [case.method(reader, text=text) for text in texts]
    assert len({method_version(case.method, one.weights) for one in methods}) == 5
    assert len(list(folder(case.name).iterdir())) == 3  # a text's is made by the first answer


def test_a_calibration_of_another_model_is_refused_before_anything_is_read(case, reader):
    case.calibrate(reader, TEXT, windows=1)
    (file,) = folder(case.name).iterdir()
    other = Engine(copy.deepcopy(reader.model), reader.tokenizer, reader.spec)
    other.model.backbone.layers[0].mixer.D.data += 1
    with pytest.raises(ValueError, match=rf"another model or precision: .*methods.{case.name} calibrate"):
        case.method(other, calibration=file)
    with pytest.raises(ValueError, match="none in"):
        case.method(other)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"text": Path("nowhere.txt")}, "text=nowhere.txt is not there"),
        ({"text": Path("a.txt"), "calibration": Path("b.safetensors")}, "both say .*: give one"),
    ],
)
def test_sources_that_cannot_be_are_refused_in_one_line(case, options, reason, reader):
    with pytest.raises(ValueError, match=reason) as error:
        case.method(reader, **options)
    assert "\n" not in str(error.value)


def test_a_text_shorter_than_a_window_is_refused(case, reader):
    window = {"longmamba": 20, "upi": 160}[case.name]
    with pytest.raises(ValueError, match=f"has 3 tokens: expected at least one window of {window} tokens"):
        case.calibrate(reader, "w1 w2 w3")


def test_a_reader_without_a_delta_is_refused_before_it_is_calibrated(case, reader, texts):
    spec = replace(reader.spec, trained_length=None)  # which is not asked for first
    engine = SimpleNamespace(spec=spec, model=torch.nn.Linear(2, 2), window=None)
    for options in ({}, {"text": texts[0]}):
        with pytest.raises(ValueError, match="has no delta") as error:
            case.method(engine, **options)
        assert "\n" not in str(error.value)


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as it is without a home
    with pytest.raises(ValueError, match=r"no home directory .*: set XDG_CACHE_HOME to a folder"):
        folder("upi")


def test_windows_are_spaced_evenly_from_the_first_token_to_the_last_and_a_shorter_text_has_none():
    reader = SimpleNamespace(encode=lambda text: list(range(len(text))))
    assert even_windows(reader, "ten tokens", 4, 3) == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert even_windows(reader, "four", 4, 1) == [[0, 1, 2, 3]]
    with pytest.raises(ValueError, match="has 4 tokens: expected at least one window of 5 tokens"):
        even_windows(reader, "four", 5, 1)
