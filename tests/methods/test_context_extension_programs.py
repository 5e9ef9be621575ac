"""``python -m methods.decimamba sweep`` and ``python -m methods.longmamba calibrate`` on the embedded model."""

from __future__ import annotations

import re

import pytest

from methods.decimamba.__main__ import candidates
from methods.decimamba.__main__ import main as sweep
from methods.longmamba import LongMamba, folder
from methods.longmamba.__main__ import main as calibrate
from models.channel_filter import load
from models.engine import Engine


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


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
    assert re.fullmatch(r"best: --method decimamba:variant=maxp,layers=\d,base=\d+", lines[-1])


def test_a_deep_reader_is_swept_in_every_second_layer_of_its_middle(monkeypatch):
    engine = Engine.load("tiny", device="cpu")
    assert candidates(engine) == [0, 1, 2]
    monkeypatch.setattr("methods.decimamba.__main__.mixers", lambda model: [None] * 24)
    assert candidates(engine) == [5, 7, 9, 11, 13]


def test_the_embedded_model_is_calibrated_without_a_text_and_found_by_the_method(capsys):
    assert calibrate(["calibrate", "--model", "tiny", "--windows", "1"]) == 0
    path, facts, *shares = capsys.readouterr().out.splitlines()
    assert facts.startswith("1 windows of 600 tokens, clip 20 %")
    assert shares[0].split(":")[0] == "theta 1e-30"
    (only,) = folder().iterdir()
    assert str(only) == path
    method = LongMamba(Engine.load("tiny", device="cpu"))
    assert method._calibrated.model == load(only).model
    assert method._calibrated.lengths[:2] == (300, 600)


@pytest.mark.parametrize(
    ("program", "flags", "reason"),
    [
        (calibrate, ["calibrate", "--model", "nobody"], "unknown reader 'nobody'"),
        (calibrate, ["calibrate", "--model", "tiny", "--text", "none.txt"], "none.txt"),
        (sweep, ["sweep", "--model", "tiny", "--benchmark", "nothing"], "nothing"),
        (sweep, ["sweep", "--model", "tiny", "--benchmark", "needle:lengths=300", "--layers", "9"], "0 to 2"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(program, flags, reason, capsys):
    assert program(flags) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("error: ")
    assert reason in said[-1]
