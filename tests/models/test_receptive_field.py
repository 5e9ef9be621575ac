"""The Mamba mean distance against the matrix itself: column by column, the answer to an impulse in float64."""

from __future__ import annotations

from dataclasses import replace

import mamba_reference as reference
import pytest
import torch
from families import random_model

from models import receptive_field
from models.delta import intercepted, mixers
from models.receptive_field import Profile, mean_distance, profile

FAMILIES = ("Mamba", "FalconMamba", "Mamba2")
EACH = pytest.mark.parametrize("family", FAMILIES)
LENGTH = 23


def draw(count: int) -> list[list[int]]:
    return torch.randint(6, 64, (count, LENGTH), generator=torch.Generator().manual_seed(3)).tolist()


def dense_distances(model, ids) -> torch.Tensor:
    """MMD [layers, heads]: what the last position hears of a unit at j, for every j and head."""
    found = []

    def record(layer, steps):
        count = steps.delta.shape[1]
        row = []
        for j in range(len(ids)):
            impulse = torch.zeros(len(ids), count, 1, dtype=torch.float64)
            impulse[j] = 1
            row.append(reference.scan(replace(steps, x=impulse), torch.zeros(count).double())[-1].abs())
        weights = torch.stack(row)
        back = torch.tensor([len(ids) - 1 - j for j in range(len(ids))]).double()
        found.append((back[:, None] * weights).sum(0) / weights.sum(0))
        return reference.unchanged(layer, steps)

    reference.logits(model, ids, record)
    return torch.stack(found)


def read_with(model):
    def read(row):
        with torch.inference_mode():
            return model(torch.tensor([row]))

    return read


@EACH
@pytest.mark.parametrize("block", [1, 5, 1024])
def test_the_distance_is_that_of_the_matrix_whatever_the_block(family, block, monkeypatch):
    model, windows = random_model(family), draw(3)
    monkeypatch.setattr(receptive_field, "BLOCK", block)
    expected = sum(dense_distances(model, window) for window in windows) / 3
    given = profile(model, read_with(model), windows)
    assert given.shape == expected.shape
    assert given.dtype == torch.float32
    assert torch.allclose(given.double(), expected, rtol=1e-4)
    if family == "Mamba2":
        assert mixers(model)[0].n_groups == 2  # heads of two groups read different states
    assert expected.std() > 0.1  # or the test could not tell one channel from another


@pytest.mark.parametrize("family", ["Jamba", "Zamba2", "Bamba", "FalconH1", "GraniteMoeHybrid", "NemotronH"])
def test_hybrids_have_distances_in_their_mamba_layers_within_the_window(family):
    model = random_model(family)
    given = profile(model, read_with(model), draw(1))
    assert given.shape == (len(mixers(model)), mixers(model)[0].A_log.shape[0])
    assert ((given > 0) & (given < LENGTH)).all()


@pytest.mark.parametrize("rate", [0.02, 0.5])
def test_a_constant_decay_has_the_distance_of_a_geometric_series(rate, monkeypatch):
    monkeypatch.setattr(receptive_field, "BLOCK", 7)
    model, seen = random_model("Mamba"), []

    def measure(call):
        x, B, C = call.inputs
        steady = call.with_delta(torch.ones_like(call.delta()))
        ones = (x, torch.ones_like(B), torch.ones_like(C))
        A = torch.full((call.raw.shape[2], B.shape[1]), -rate)
        seen.append(mean_distance(replace(steady, inputs=ones), A, heads=False))
        return call.run()

    with intercepted([(mixers(model)[0], measure)]):
        read_with(model)(draw(1)[0])
    decay = [2.718281828459045 ** (-rate * back) for back in range(LENGTH)]
    exact = sum(back * weight for back, weight in enumerate(decay)) / sum(decay)
    assert torch.allclose(seen[0], torch.full_like(seen[0], exact), rtol=1e-5)


def test_a_channel_that_reads_nothing_has_no_distance():
    model, seen = random_model("Mamba2"), []

    def measure(call):
        x, B, C = call.inputs
        seen.append(mean_distance(replace(call, inputs=(x, B, 0 * C)), -torch.ones(8), heads=True))
        return call.run()

    with intercepted([(mixers(model)[0], measure)]):
        read_with(model)(draw(1)[0])
    assert seen[0].tolist() == [0.0] * 8


@EACH
def test_measuring_changes_nothing(family):
    model, windows = random_model(family), draw(1)
    before = read_with(model)(windows[0]).logits
    seen = []
    profile(model, lambda row: seen.append(read_with(model)(row).logits), windows)
    assert torch.allclose(seen[0], before, atol=1e-5)
    assert torch.equal(read_with(model)(windows[0]).logits, before)


@pytest.mark.parametrize(
    ("share", "chosen"),
    [
        (0.01, [[0, 0, 0], [0, 1, 0]]),
        (0.34, [[1, 0, 0], [0, 1, 0]]),
        (0.5, [[1, 0, 1], [0, 1, 0]]),
        (1.0, [[1, 1, 1], [1, 1, 1]]),
    ],
)
def test_the_widest_are_taken_over_all_layers_and_the_earlier_on_a_tie(share, chosen):
    distance = torch.tensor([[5.0, 1.0, 3.0], [3.0, 9.0, 2.0]])
    made = Profile(distance, 4, 1, "m", "t", 0.1)
    assert made.widest(share).int().tolist() == chosen
