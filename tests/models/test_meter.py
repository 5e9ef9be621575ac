"""The meter: phases, counts, peaks and the round trip of a cost."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from models import meter as meter_room
from models.meter import Cost, Gauge, Meter, resident_gauge


@dataclass
class Device:
    """A gauge that keeps a diary."""

    diary: list[str] = field(default_factory=list)

    def gauge(self) -> Gauge:
        def peak() -> int:
            self.diary.append("peak")
            return 4096

        return Gauge(lambda: self.diary.append("reset"), peak, lambda: self.diary.append("drain"))


def test_a_cost_survives_the_round_trip_through_json() -> None:
    cost = Cost({"prefill": 0.25, "total": 0.5}, 10, 3, 4, 7, 1024, 1)
    assert Cost.from_json(cost.to_json()) == cost
    assert Cost({"decode": 1.23456789}).to_json()["seconds"] == {"decode": 1.234568}


def test_a_cost_written_before_a_field_existed_is_read_with_its_default() -> None:
    values = Cost(prompt_tokens=5).to_json()
    del values["halvings"]
    assert Cost.from_json(values) == Cost(prompt_tokens=5)
    assert Cost.from_json({}) == Cost()


def test_the_peak_is_set_back_at_the_start_and_the_device_drained_at_both_edges() -> None:
    device = Device()
    with Meter(device.gauge()).run() as cost:
        device.diary.append("work")
    assert device.diary == ["drain", "reset", "work", "drain", "peak"]
    assert cost.peak_bytes == 4096
    assert cost.seconds.keys() == {"total"}


def test_the_device_is_drained_at_both_edges_of_a_phase() -> None:
    device = Device()
    with Meter(device.gauge()).phase("prefill"):
        device.diary.append("work")
    assert device.diary == ["drain", "work", "drain"]


def test_an_error_inside_still_completes_the_cost_and_frees_the_meter() -> None:
    meter = Meter(Device().gauge())
    with pytest.raises(KeyError), meter.run() as cost, meter.phase("retrieve"):
        raise KeyError
    assert cost.seconds["total"] >= cost.seconds["retrieve"] > 0
    with meter.run() as second, meter.phase("prefill"):
        pass
    assert second.seconds.keys() == {"prefill", "total"}


@pytest.mark.parametrize("place", ["drain", "reset", "work", "drain at the end", "peak"])
def test_ctrl_c_at_any_edge_of_a_run_frees_the_meter(place: str) -> None:
    device = Device()
    edges = ["drain", "reset", "work", "drain at the end", "peak"]

    def edge(name: str) -> None:
        device.diary.append(name)
        if len(device.diary) == edges.index(place) + 1:
            raise KeyboardInterrupt

    def peak() -> int:
        edge("peak")
        return 4096

    meter = Meter(Gauge(lambda: edge("reset"), peak, lambda: edge("drain")))
    with pytest.raises(KeyboardInterrupt), meter.run():
        edge("work")
    meter.cost.calls += 1  # outside of a run
    with meter.run() as cost:
        meter.cost.prompt_tokens += 2
    assert (cost.prompt_tokens, cost.calls, cost.peak_bytes) == (2, 0, 4096)


def test_the_outermost_phase_owns_the_time() -> None:
    meter = Meter(Device().gauge())
    with meter.run() as cost:
        with meter.phase("retrieve"), meter.phase("score"):
            pass
        with meter.phase("decode"):
            pass
    assert cost.seconds.keys() == {"retrieve", "decode", "total"}
    assert cost.seconds["retrieve"] + cost.seconds["decode"] <= cost.seconds["total"]


def test_a_phase_entered_twice_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(5, 100))
    monkeypatch.setattr(meter_room.time, "perf_counter", lambda: float(next(ticks)))
    meter = Meter(Device().gauge())
    with meter.run() as cost:
        for _ in range(3):
            with meter.phase("prefill"):
                pass
    assert cost.seconds == {"prefill": 3.0, "total": 7.0}


def test_a_meter_inside_a_meter_is_an_error() -> None:
    meter = Meter(Device().gauge())
    with meter.run(), pytest.raises(RuntimeError, match="already running"), meter.run():
        pass


def test_counts_outside_a_run_reach_no_cost() -> None:
    meter = Meter(Device().gauge())
    meter.cost.prompt_tokens += 5
    with meter.run() as cost:
        meter.cost.prompt_tokens += 2
    meter.cost.prompt_tokens += 7
    assert cost.prompt_tokens == 2


def test_the_resident_peak_rises_with_what_is_allocated() -> None:
    gauge = resident_gauge()
    gauge.reset()
    before = gauge.peak()
    block = bytearray(b"x") * (96 << 20)
    after = gauge.peak()
    gauge.synchronize()
    assert len(block) == 96 << 20
    assert before > 1 << 20
    # without a kernel counter to set back, an earlier peak of the process may hide the block
    if gauge.reset is meter_room._reset_high_water:
        assert after - before > 64 << 20


def test_the_resident_peak_is_set_back_to_what_is_resident_now() -> None:
    gauge = resident_gauge()
    block = bytearray(b"x") * (96 << 20)
    before = gauge.peak()
    del block
    gauge.reset()
    if gauge.reset is meter_room._reset_high_water:
        assert before - gauge.peak() > 64 << 20


def test_the_kernel_counts_in_kibibytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("VmPeak:\t 9000 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n")
    monkeypatch.setattr(meter_room, "STATUS", status)
    assert meter_room._high_water() == 2 << 20


@pytest.mark.parametrize(("missing", "whole"), [("CLEAR_REFS", True), ("STATUS", True), ("STATUS", False)])
def test_a_kernel_without_a_resettable_counter_falls_back_to_the_highest_ever(
    missing: str, whole: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without the file, or without the line in it."""
    status = tmp_path / "status"
    status.write_text("VmRSS:\t 1 kB\n")
    monkeypatch.setattr(meter_room, missing, tmp_path / "missing" / "file" if whole else status)
    gauge = resident_gauge()
    gauge.reset()
    assert gauge.peak() > 1 << 20


def test_meter_and_specs_import_without_torch() -> None:
    heavy = "any(name in sys.modules for name in ('torch', 'transformers', 'numba'))"
    code = f"import models.meter, models.specs, sys; sys.exit({heavy})"
    root = Path(meter_room.__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
