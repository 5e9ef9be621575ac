"""``python -m methods.decimamba sweep``, and ``calibrate`` of ``methods.longmamba`` and ``methods.upi``, on the
embedded model."""

from __future__ import annotations

import re
from typing import Any

import pytest

from methods.calibration import folder
from methods.decimamba.__main__ import candidates
from methods.decimamba.__main__ import main as sweep
from methods.longmamba import LongMamba
from methods.longmamba.__main__ import main as calibrate
from methods.upi import UPI
from methods.upi.__main__ import main as profile
from models.calibration import load
from models.channel_filter import Calibration
from models.engine import Engine
from models.receptive_field import Profile

pytestmark = pytest.mark.usefixtures("cache")


def test_the_sweep_scores_every_layer_and_base_and_names_a_method_line(capsys):
    flags = ["--layers", "0", "2", "--base", "60", "900", "--limit", "2"]
    benchmark = "needle:lengths=300,depths=50,samples=2"
    assert sweep(["sweep", "--model", "tiny", "--benchmark", benchmark, *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if line.startswith("decimamba:")]
    assert [row[0][-16:] for row in rows] == [
        "layers=0,base=60",
        "ayers=0,base=900",
        "layers=2,base=60",
        "ayers=2,base=900",
    ]
    assert [row[2] for row in rows] == ["100%", "0%", "100%", "0%"]
    full = next(line.split()[1] for line in lines if line.startswith("full"))
    assert rows[1][1] == rows[3][1] == full
    assert len({row[1] for row in rows}) > 1
    best = max(rows[::2], key=lambda row: float(row[1]))  # the first of those that are tied
    assert lines[-1] == f"best: --method {best[0]}"
    assert re.fullmatch(r"decimamba:variant=maxp,layers=\d,base=\d+", best[0])


def test_a_sweep_in_which_no_prompt_was_shortened_proposes_nothing(capsys):
    flags = ["--benchmark", "needle:lengths=300,depths=50,samples=2", "--layers", "0", "--base", "900"]
    assert sweep(["sweep", "--model", "tiny", *flags, "--limit", "2"]) == 2
    out, err = capsys.readouterr()
    assert "best" not in out
    assert err.startswith(
        "python -m methods.decimamba: error: no setting dropped a token: give a --benchmark of longer prompts"
    )


def test_a_deep_reader_is_swept_in_every_second_layer_of_its_middle(monkeypatch):
    engine = Engine.load("tiny", device="cpu")
    assert candidates(engine) == [0, 1, 2]
    monkeypatch.setattr("models.delta.mixers", lambda model: [None] * 24)
    assert candidates(engine) == [5, 7, 9, 11, 13]


def test_the_embedded_model_is_calibrated_without_a_text_and_found_by_the_method(capsys):
    assert calibrate(["calibrate", "--model", "tiny", "--windows", "1"]) == 0
    path, facts, *shares = capsys.readouterr().out.splitlines()
    assert facts.startswith("1 windows of 600 tokens, clip 20 %")
    assert shares[0].split(":")[0] == "theta 1e-30"
    (only,) = folder("longmamba").iterdir()
    assert str(only) == path
    method = LongMamba(Engine.load("tiny", device="cpu"))
    assert method._calibrated.model == load(Calibration, only).model
    assert method._calibrated.lengths[:2] == (300, 600)


def test_the_embedded_model_is_profiled_without_a_text_and_found_by_the_method(capsys):
    assert profile(["calibrate", "--model", "tiny", "--windows", "1"]) == 0
    path, facts, *layers = capsys.readouterr().out.splitlines()
    assert facts.startswith("1 windows of 4,800 tokens, ")
    (only,) = folder("upi").iterdir()
    assert str(only) == path
    made = load(Profile, only)
    assert [line.split(":")[0] for line in layers] == ["layer 0", "layer 1", "layer 2"]
    assert f"{int(made.widest(0.2)[0].sum())} of 256 among the widest fifth" in layers[0]
    method = UPI(Engine.load("tiny", device="cpu"))
    assert method.weights == {"calibration": only.stem}


@pytest.mark.parametrize(
    ("program", "flags", "reason"),
    [
        (calibrate, ["calibrate", "--model", "nobody"], "unknown reader 'nobody'"),
        (calibrate, ["calibrate", "--model", "tiny", "--text", "none.txt"], "none.txt"),
        (profile, ["calibrate", "--model", "tiny", "--windows", "0"], "windows=0"),
        (profile, ["calibrate", "--model", "tiny", "--text", "none.txt"], "none.txt"),
        (sweep, ["sweep", "--model", "tiny", "--benchmark", "nothing"], "nothing"),
        (sweep, ["sweep", "--model", "tiny", "--benchmark", "needle:lengths=300", "--layers", "9"], "0 to 2"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(program, flags, reason, capsys):
    assert program(flags) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith("python -m methods.")
    assert reason in said[0]


@pytest.mark.parametrize(
    ("program", "flags"),
    [
        (calibrate, ["calibrate", "--text", __file__]),
        (profile, ["calibrate", "--text", __file__]),
        (sweep, ["sweep", "--benchmark", "needle:lengths=300"]),
    ],
)
def test_the_reader_is_opened_as_the_flags_say(program, flags, monkeypatch, capsys):
    asked: list[Any] = []

    def refuse(name: str, **options: Any) -> None:
        asked.append((name, options))
        raise ValueError("as far as this goes")

    monkeypatch.setattr(Engine, "load", refuse)
    said = ["--revision", "v2", "--trust-remote-code", "--dtype", "bfloat16", "--device", "cpu"]
    assert program([*flags, "--model", "somebody/mamba", *said]) == 2
    assert program([*flags, "--model", "tiny"]) == 2
    given = {"revision": "v2", "device": "cpu", "dtype": "bfloat16", "trust_remote_code": True}
    plain = {"revision": None, "device": "auto", "dtype": "auto", "trust_remote_code": False}
    assert asked == [("somebody/mamba", given), ("tiny", plain)]
    assert "as far as this goes" in capsys.readouterr().err
