"""The program that times the scan: its lines, and that all of them compute the same."""

from __future__ import annotations

import pytest
import torch

from models import scan_speed


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(scan_speed, "LENGTH", 9)


def test_a_line_for_each_function_with_the_backward_pass_where_it_is_quick(capsys):
    scan_speed.main([])
    _, _, *lines = capsys.readouterr().out.splitlines()
    assert [(line[:22].strip(), line[23:32], len(line[32:].split())) for line in lines] == [
        ("selective scan", "16 x    9", 2),
        ("transformers' fallback", "16 x    9", 1),
        ("selective scan", " 1 x    9", 2),
        ("transformers' fallback", " 1 x    9", 2),
        ("convolution and SiLU", "16 x    9", 2),
    ]


def test_help_times_nothing(capsys, monkeypatch):
    monkeypatch.setattr(scan_speed, "microseconds", lambda *_: pytest.fail("timed"))
    with pytest.raises(SystemExit) as end:
        scan_speed.main(["--help"])
    assert end.value.code == 0
    assert "python -m models.scan_speed" in capsys.readouterr().out


def test_what_is_timed_side_by_side_gives_the_same():
    inputs, _ = scan_speed.draw(2)
    torch.testing.assert_close(scan_speed.scan(*inputs), scan_speed.fallback(*inputs), atol=1e-4, rtol=1e-4)
