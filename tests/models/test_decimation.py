"""DeciMamba's prefill against the recurrence written down once more, for Mamba, Falcon-Mamba and Mamba-2."""

from __future__ import annotations

import copy

import mamba_reference as reference
import pytest
import torch
from families import random_model
from mamba_pairs import close

from models import decimation
from models.cpu_mamba import attach
from models.decimation import Decimation, choose, decimating
from models.specs import ReaderError

FAMILIES = ("Mamba", "FalconMamba", "Mamba2")
EACH = pytest.mark.parametrize("family", FAMILIES)
PLANS = [
    Decimation((0,), 7, minimum=2),
    Decimation((1,), 7, minimum=2, protected=5),
    Decimation((0, 1), 12, beta=0.5, minimum=2, protected=3),
]


def dropping(plan: Decimation, length: int):
    """The reference's decimation: of the first `length` tokens (the prompt), later ones always stay. Plain loops
    over the definition of section 1.1."""
    left = [list(range(length))]

    def change(layer, steps):
        total = len(steps.x)
        if layer not in plan.layers:
            return steps, torch.arange(total)
        stage, prompt = plan.layers.index(layer), len(left[-1])
        n = prompt - plan.protected
        budget = min(n, int(max(min(n, plan.base * plan.beta**stage), plan.minimum)))
        norms = steps.delta[:n].square().sum(-1).sqrt().tolist()
        best = sorted(sorted(range(n), key=lambda t: -norms[t])[:budget])
        left.append([left[-1][t] for t in [*best, *range(n, prompt)]])
        keep = torch.tensor([*best, *range(n, total)])
        return steps.at(keep), keep

    return change, left


@EACH
@pytest.mark.parametrize("plan", PLANS)
def test_decoding_after_a_decimated_prefill_equals_a_growing_reference(family, plan, reader, rows):
    """The first logits, and those of every token decoded after them."""
    engine, ids = reader(family), rows(1, 29)[0]
    with decimating(engine.model, plan, len(ids)) as survivors:
        prefill = engine.prefill([ids])
    change, left = dropping(plan, len(ids))
    assert close(prefill.logits[0, -1], reference.logits(engine.model, ids, change)[-1].float())
    with torch.inference_mode(), decimating(engine.model, plan, len(ids)):
        assert close(engine.model(torch.tensor([ids]), use_cache=False).logits[0, -1], prefill.logits[0, -1])
    assert survivors.positions.tolist() == [left[-1]]
    state, logits, new = engine._own_state(prefill), prefill.logits, []
    for _ in range(6):
        new.append(int(logits[0, -1].argmax()))
        logits, state = engine._forward([[new[-1]]], 1, state)
        change, _ = dropping(plan, len(ids))
        assert close(logits[0, -1], reference.logits(engine.model, ids + new, change)[-1].float())


@EACH
@pytest.mark.parametrize(
    "plan", [Decimation((0, 1), 28), Decimation((1,), 7, minimum=28), Decimation((0,), 5, protected=29)]
)
def test_nothing_at_all_changes_where_every_token_is_kept(family, plan, reader, rows):
    """n <= base, n <= minimum, everything protected."""
    engine, ids = reader(family), rows(1, 29)[0]
    expected = engine.prefill([ids])
    before = [module.forward for module in engine.model.modules()]
    with decimating(engine.model, plan, len(ids)) as survivors:
        assert [module.forward for module in engine.model.modules()] == before
        prefill = engine.prefill([ids])
    assert torch.equal(prefill.logits, expected.logits)
    assert survivors.positions is None


@EACH
def test_one_more_token_than_the_base_is_decimated(family, reader, rows):
    engine, ids = reader(family), rows(1, 29)[0]
    with decimating(engine.model, Decimation((0,), 27, minimum=1), 29) as survivors:
        engine.prefill([ids])
    assert survivors.positions.shape == (1, 28)


@EACH
def test_rows_of_a_batch_are_decimated_each_by_its_own_steps(family, reader, rows):
    engine, batch = reader(family), rows(3, 29)
    plan = PLANS[2]
    with decimating(engine.model, plan, 29) as survivors:
        together = engine.prefill(batch)
        positions = survivors.positions
    assert len({tuple(row) for row in positions.tolist()}) == 3
    for row, ids in enumerate(batch):
        with decimating(engine.model, plan, 29) as survivors:
            alone = engine.prefill([ids])
        assert torch.equal(survivors.positions[0], positions[row])
        assert close(together.logits[row], alone.logits[0])
        cut = engine.select(together, row)
        assert engine.decode(cut, 5) == engine.decode(alone, 5)


@EACH
def test_every_prompt_inside_the_block_has_survivors_of_its_own(family, reader, rows):
    engine, (first, second) = reader(family), rows(2, 29)
    with decimating(engine.model, PLANS[2], 29) as survivors:
        engine.prefill([second])
        expected = survivors.positions
    with decimating(engine.model, PLANS[2], 29) as survivors:
        engine.prefill([first])
        assert not torch.equal(survivors.positions, expected)
        engine.prefill([second])
        assert torch.equal(survivors.positions, expected)


@EACH
def test_a_prompt_that_is_short_enough_stays_whole_after_one_that_was_not(family, reader, rows):
    engine, long, short = reader(family), rows(1, 29)[0], rows(1, 5)[0]
    expected = engine.prefill([short]).logits
    with decimating(engine.model, PLANS[0], 29) as survivors:
        engine.prefill([long])
        assert close(engine.prefill([short]).logits, expected)
        assert survivors.positions is None


@EACH
def test_tokens_that_are_scored_in_blocks_are_scored_as_at_once(family, reader, rows, monkeypatch):
    engine, ids = reader(family), rows(1, 29)[0]
    found = []
    for block in (1024, 8, 1):
        monkeypatch.setattr(decimation, "BLOCK", block)
        with decimating(engine.model, PLANS[0], 29) as survivors:
            engine.prefill([ids])
        found.append(survivors.positions.tolist())
    assert found[0] == found[1] == found[2]


@EACH
def test_the_model_is_as_it_was_afterwards(family, reader, rows):
    engine, ids = reader(family), rows(1, 29)[0]
    engine.model = copy.deepcopy(engine.model)
    attach(engine.model)
    expected = engine.prefill([ids]).logits
    with pytest.raises(RuntimeError), decimating(engine.model, PLANS[0], 29):
        raise RuntimeError
    with decimating(engine.model, PLANS[2], 29):
        assert not torch.equal(engine.prefill([ids]).logits, expected)
    assert torch.equal(engine.prefill([ids]).logits, expected)
    assert not any(block._forward_hooks for block in engine.model.backbone.layers)


def test_budgets_are_those_of_the_released_configurations():
    pg19 = Decimation(tuple(range(12, 21)), 8000, beta=0.83, protected=0)
    assert pg19.kept(100_000)[:3] + pg19.kept(100_000)[-1:] == [8000, 6640, 5511, 1801]  # 1801.8, cut
    assert Decimation((12,), 2000).kept(16_001) == [2001]
    assert Decimation((12,), 2000).kept(2001) == [2001]
    assert Decimation((3, 4), 10, beta=0.1, minimum=4, protected=2).kept(50) == [12, 6]
    assert Decimation((0,), 5, protected=9).kept(4) == [4]


def test_ties_go_to_the_earlier_token():
    values = torch.tensor([[1.0, 3.0, 2.0, 2.0, 3.0, 9.0], [5.0, 5.0, 5.0, 5.0, 5.0, 5.0]])
    assert choose(values, 4, 1).tolist() == [[1, 2, 4, 5], [0, 1, 2, 5]]


@pytest.mark.parametrize("layers", [(), (2,), (-1,), (1, 0), (0, 0)])
def test_layers_that_the_reader_does_not_have_are_refused_in_one_line(layers, reader):
    with (
        pytest.raises(ReaderError, match=r"of the reader's 2, 0 to 1$"),
        decimating(reader("Mamba").model, Decimation(layers, 5), 9),
    ):
        pass


@pytest.mark.parametrize(
    ("family", "reason"), [("Llama", "has no delta"), ("Zamba2", "not defined for a zamba2")]
)
def test_other_families_are_refused(family, reason):
    with pytest.raises(ReaderError, match=reason), decimating(random_model(family), Decimation((0,), 5), 9):
        pass
