"""LongMamba's calibration against loops in numpy, and its filter against the recurrence written down once more."""

from __future__ import annotations

import copy
from dataclasses import replace

import mamba_reference as reference
import numpy as np
import pytest
import torch
from families import random_model
from mamba_pairs import close

from models import channel_filter
from models.calibration import fingerprint, load, save
from models.channel_filter import Calibration, calibrate, filtered_from, filtering, measure, table_lengths
from models.cpu_mamba import attach
from models.delta import intercepted, mixers

FAMILIES = ("Mamba", "FalconMamba", "Mamba2")
EACH = pytest.mark.parametrize("family", FAMILIES)
TRAINED = 20  # tokens; prompts of 30 and more are filtered


def made_for(model, **changes) -> Calibration:
    """Calibrated on three windows of random ids."""
    windows = torch.randint(6, 64, (3, TRAINED), generator=torch.Generator().manual_seed(2)).tolist()
    with torch.inference_mode():
        tensors = calibrate(model, lambda row: model(torch.tensor([row])), windows, 20.0)
    facts = {"clip": 20.0, "windows": 3, "model": fingerprint(model), "text": "t", "seconds": 1.5}
    made = Calibration(*tensors, table_lengths(TRAINED), TRAINED, **facts)
    return replace(made, **changes)


def by_hand(steps: np.ndarray, A: float, length: int, clip: float) -> tuple[float, float, float]:
    """P, S and g(length) of one channel, step by step as section 2.1 of the method says."""
    trained = len(steps)
    smallest_of_top = sorted(steps, reverse=True)[int(clip / 100 * trained) - 1]
    clipped = sorted((min(step, smallest_of_top) for step in steps), reverse=True)
    total = sum(clipped)
    places = (np.arange(length) + 0.5) * trained / length - 0.5
    stretched = np.interp(places, np.arange(trained), clipped)
    running, found = 0.0, 0.0
    for k, value in enumerate(stretched):
        running += value
        if running > total:
            found = stretched[k + 1]
            break
    return np.exp(A * total), total, found


@pytest.mark.parametrize("length", [60, 90, 333])
def test_decay_budget_and_thresholds_are_those_of_the_definition(length):
    random = np.random.default_rng(0)
    steps, A = random.lognormal(-3, 1, (7, 40)), -random.uniform(0.1, 2, 7)
    given = measure(
        torch.tensor(steps, dtype=torch.float32), torch.tensor(A, dtype=torch.float32), [40, length], 40, 20.0
    )
    for channel in range(7):
        decay, total, threshold = by_hand(steps[channel], A[channel], length, 20.0)
        assert given[0][channel].item() == pytest.approx(decay, rel=1e-4)
        assert given[1][channel].item() == pytest.approx(total, rel=1e-5)
        assert given[2][1, channel].item() == pytest.approx(threshold, rel=1e-4)
    assert given[2][0].max() == 0  # up to the trained length every token is kept


def test_the_budget_has_to_be_exceeded_and_the_next_point_is_the_threshold():
    """Twice as long, 8 4 2 1 is 8 7 5 3.5 2.5 .. whose sum is the budget at the second point and above at the
    third."""
    steps = torch.tensor([[1.0, 8.0, 2.0, 4.0]])
    _, total, thresholds = measure(steps, -torch.ones(1), [8], 4, 1.0)
    assert total.item() == 15
    assert thresholds.item() == 3.5


def test_where_the_budget_is_exceeded_at_the_last_point_or_never_every_step_is_kept():
    """Four steps of 1 on five points exceed their sum at the fifth; steps of 0 never do."""
    steps = torch.tensor([[1.0] * 4, [0.0] * 4])
    assert measure(steps, -torch.ones(2), [5], 4, 100.0)[2].tolist() == [[0.0, 0.0]]


def test_up_to_the_trained_length_every_step_is_kept_however_small():
    steps = torch.full((1, 40), 1e-9).index_fill_(1, torch.tensor([3]), 1.0)
    assert measure(steps, -torch.ones(1), [20, 40], 40, 1.0)[2].max() == 0


def test_a_channel_of_mamba_1_has_the_decay_of_its_slowest_state():
    steps = torch.rand(3, 40)
    A = -torch.tensor([[1.0, 0.2, 3.0], [0.5, 4.0, 0.6], [1.0, 1.0, 0.7]])
    slowest = torch.tensor([-0.2, -0.5, -0.7])
    assert torch.equal(measure(steps, A, [60], 40, 20.0)[0], measure(steps, slowest, [60], 40, 20.0)[0])


def test_the_table_and_the_start_of_filtering_grow_with_the_trained_length():
    assert table_lengths(2000)[:4] == (1000, 2000, 3000, 4000)
    assert table_lengths(2000)[-1] == 192_000
    assert table_lengths(600)[:3] == (300, 600, 900)
    made = made_for(random_model("Mamba"))
    assert (filtered_from(20), filtered_from(2000)) == (30, 3000)
    assert [made.lengths[made.nearest(n)] for n in (5, 30, 35, 36, 10_000)] == [10, 30, 30, 40, 1920]


@EACH
def test_calibration_reads_the_steps_of_the_model_as_it_is(family):
    model = random_model(family)
    made = made_for(model)
    windows = torch.randint(6, 64, (3, TRAINED), generator=torch.Generator().manual_seed(2)).tolist()
    seen = []

    def record(layer, steps):
        seen.append((layer, steps.delta.t().numpy(), steps.A.max(1).values.numpy()))
        return reference.unchanged(layer, steps)

    for window in windows:
        reference.logits(model, window, record)
    place = made.lengths.index(60)
    for layer in range(2):
        for channel in (0, 3, 7):
            values = [by_hand(d[channel], A[channel], 60, 20.0) for at, d, A in seen if at == layer]
            decay, total, threshold = np.mean(values, axis=0)
            assert made.decay[layer, channel].item() == pytest.approx(decay, rel=1e-3, abs=1e-12)
            assert made.total[layer, channel].item() == pytest.approx(total, rel=1e-4)
            assert made.thresholds[layer, place, channel].item() == pytest.approx(threshold, rel=1e-3)


def skipping(made: Calibration, theta: float, place: int, log: list):
    """The reference's filter: no step at all where a global channel's is not above its threshold."""

    def change(layer, steps):
        small = steps.delta <= made.thresholds[layer, place]
        chosen = made.decay[layer] > theta
        if log is not None:
            log.append(
                ((~small & chosen).sum(), chosen.sum() * len(small), (steps.delta * (~small & chosen)).sum())
            )
        return reference.unchanged(layer, replace(steps, delta=steps.delta.masked_fill(small & chosen, 0.0)))

    return change


def median_decay(made: Calibration) -> float:
    """A threshold on P that half of the channels are above."""
    return made.decay.median().item()


@EACH
def test_global_channels_skip_small_steps_and_decoding_goes_on_from_there(family, reader, rows):
    engine, ids = reader(family), rows(1, 57)[0]
    made = made_for(engine.model)
    theta = median_decay(made)
    with filtering(engine.model, made, theta, len(ids)) as kept:
        prefill = engine.prefill([ids])
    log = []
    change = skipping(made, theta, made.lengths.index(60), log)
    assert close(prefill.logits[0, -1], reference.logits(engine.model, ids, change)[-1].float())
    entries, of, total = (sum(float(row[i]) for row in log) for i in range(3))
    assert (kept.entries, kept.of) == (entries, of)
    assert 0 < kept.entries < kept.of
    budget = made.total[made.decay > theta].sum().item()
    assert kept.shares()["kept_share"] == pytest.approx(entries / of, abs=1e-4)
    assert kept.shares()["kept_sum"] == pytest.approx(total / budget, abs=1e-3)
    state, logits, new = engine._own_state(prefill), prefill.logits, []

    def growing(layer, steps):
        changed, keep = change(layer, steps)
        delta = torch.cat([changed.delta[: len(ids)], steps.delta[len(ids) :]])
        return replace(changed, delta=delta), keep

    for _ in range(4):
        new.append(int(logits[0, -1].argmax()))
        logits, state = engine._forward([[new[-1]]], 1, state)
        assert close(logits[0, -1], reference.logits(engine.model, ids + new, growing)[-1].float())


@EACH
def test_a_step_that_equals_its_threshold_is_skipped(family, reader, rows):
    engine, ids = reader(family), rows(1, 57)[0]
    made, steps = made_for(engine.model), []
    with intercepted([(mixers(engine.model)[0], lambda call: steps.append(call.delta()[0]) or call.run())]):
        engine.prefill([ids])
    thresholds, decay = made.thresholds.clone(), made.decay.clone()
    thresholds[0, made.nearest(57)] = steps[0][5]
    decay[0], decay[1] = 1.0, 0.0
    with filtering(engine.model, replace(made, thresholds=thresholds, decay=decay), 0.5, 57) as kept:
        engine.prefill([ids])
    assert kept.entries == int((steps[0] > steps[0][5]).sum())


@EACH
def test_steps_that_are_compared_in_blocks_are_filtered_as_at_once(family, reader, rows, monkeypatch):
    engine, ids = reader(family), rows(1, 57)[0]
    made, found = made_for(engine.model), []
    for block in (1024, 10, 1):
        monkeypatch.setattr(channel_filter, "BLOCK", block)
        with filtering(engine.model, made, median_decay(made), 57) as kept:
            found.append((engine.prefill([ids]).logits, kept))
    logits, counts = found[0]
    for other, kept in found[1:]:
        assert torch.equal(other, logits)
        assert (kept.entries, kept.of) == (counts.entries, counts.of)
        assert kept.total == pytest.approx(counts.total)


@EACH
@pytest.mark.parametrize(("length", "theta"), [(29, 0.0), (57, 1.0)])
def test_nothing_at_all_changes_below_the_threshold_or_without_a_global_channel(
    family, length, theta, reader, rows
):
    engine, ids = reader(family), rows(1, length)[0]
    made, expected = made_for(engine.model), engine.prefill([ids])
    before = [module.forward for module in engine.model.modules()]
    with filtering(engine.model, made, theta, length) as kept:
        assert [module.forward for module in engine.model.modules()] == before
        assert torch.equal(engine.prefill([ids]).logits, expected.logits)
    assert kept.shares() == {"kept_share": 1.0, "kept_sum": 0.0}


@EACH
def test_what_was_let_through_is_counted_for_one_row_of_a_batch(family, reader, rows):
    engine, ids = reader(family), rows(1, 57)[0]
    made, found = made_for(engine.model), []
    for count in (1, 3):
        with filtering(engine.model, made, median_decay(made), 57) as kept:
            engine.prefill([ids] * count)
        found.append(kept)
    assert found[1].entries == pytest.approx(found[0].entries, abs=2)  # a rounding a layer
    assert found[1].of == found[0].of
    assert found[1].total == pytest.approx(found[0].total, rel=1e-3)


def test_filtering_starts_at_one_and_a_half_trained_lengths(reader):
    engine = reader("Mamba")
    made = made_for(engine.model)
    for length, channels in ((29, 0), (30, made.decay.numel())):
        with filtering(engine.model, made, 0.0, length) as kept:
            assert kept.channels == channels


@EACH
def test_rows_of_a_batch_are_filtered_as_alone_and_the_model_is_put_back(family, reader, rows):
    engine, batch = reader(family), rows(3, 57)
    engine.model = copy.deepcopy(engine.model)
    attach(engine.model)
    made, expected = made_for(engine.model), engine.prefill(batch)
    with filtering(engine.model, made, median_decay(made), 57):
        together = engine.prefill(batch)
        for row, ids in enumerate(batch):
            assert close(together.logits[row], engine.prefill([ids]).logits[0])
    assert not close(together.logits, expected.logits)
    assert torch.equal(engine.prefill(batch).logits, expected.logits)


def test_a_calibration_is_read_back_as_it_was_saved(tmp_path):
    made = made_for(random_model("Mamba"))
    save(made, tmp_path / "new" / "one.safetensors")
    again = load(Calibration, tmp_path / "new" / "one.safetensors")
    for name in ("decay", "total", "thresholds"):
        assert torch.equal(getattr(again, name), getattr(made, name))
        again = replace(again, **{name: getattr(made, name)})
    assert again == made
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["one.safetensors"]
