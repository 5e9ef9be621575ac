"""Files of what was measured of a reader: read back as saved, refused where they are another's or no such file."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from families import random_model
from torch import Tensor

from models.calibration import check, fingerprint, load, save
from models.delta import mixers
from models.specs import ReaderError

EACH = pytest.mark.parametrize("family", ["Mamba", "FalconMamba", "Mamba2"])


@dataclass(frozen=True)
class Widths:
    made_by: ClassVar[str] = "methods.widths"
    width: Tensor
    lengths: tuple[int, ...]
    model: str


@dataclass(frozen=True)
class Heights:
    made_by: ClassVar[str] = "methods.heights"
    height: Tensor
    model: str


def test_tensors_and_facts_are_read_back_as_they_were_saved(tmp_path):
    made = Widths(torch.rand(3, 4).t(), (1, 2, 3), "m")
    save(made, tmp_path / "new" / "one.safetensors")
    again = load(Widths, tmp_path / "new" / "one.safetensors")
    assert torch.equal(again.width, made.width)
    assert replace(again, width=made.width) == made
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["one.safetensors"]


def test_what_is_no_such_file_is_refused_with_the_program_that_makes_one(tmp_path):
    (tmp_path / "text.safetensors").write_text("hello")
    save(Widths(torch.rand(2), (), "m"), tmp_path / "widths.safetensors")
    for name, reason in (
        ("text.safetensors", "is no calibration: expected a file of methods.heights calibrate$"),
        ("widths.safetensors", "is no calibration: expected a file of methods.heights calibrate$"),
        ("none.safetensors", "^no calibration at .*: expected a file of methods.heights calibrate$"),
    ):
        with pytest.raises(ReaderError, match=reason) as error:
            load(Heights, tmp_path / name)
        assert "\n" not in str(error.value)


@EACH
@pytest.mark.parametrize("weight", ["A_log", "D", "bias"])
def test_the_reader_is_known_by_what_makes_its_steps(family, weight):
    model, other = random_model(family), copy.deepcopy(random_model(family))
    made = Widths(torch.rand(2), (), fingerprint(model))
    check(other, made)
    mixer = mixers(other)[1]
    bias = mixer.dt_bias if hasattr(mixer, "dt_bias") else mixer.dt_proj.bias
    (bias if weight == "bias" else getattr(mixer, weight)).data[0] += 0.01
    with pytest.raises(ReaderError, match=r"another model or precision: .*methods\.widths calibrate"):
        check(other, made)


@EACH
def test_another_precision_is_another_reader(family):
    model = random_model(family)
    assert fingerprint(copy.deepcopy(model).double()) != fingerprint(model)


def test_two_processes_that_save_the_same_file_do_not_take_each_others(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(
        "models.calibration.save_file", lambda _, path, **__: (path.touch(), written.append(path))
    )
    for process in (11, 12):
        monkeypatch.setattr("os.getpid", lambda process=process: process)
        save(Widths(torch.rand(2), (), "m"), tmp_path / "one.safetensors")
    assert len(set(written)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["one.safetensors"]
