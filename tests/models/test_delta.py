"""The hook on the time steps: it changes nothing by itself, and what it changes is what the recurrence says."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import mamba_reference as reference
import pytest
import torch
import torch.nn.functional as F
import transformers
from families import SIZES, random_model
from mamba_pairs import close

from models import delta
from models.cpu_mamba import attach
from models.delta import SKIP, ScanCall, intercepted, mixers, rates
from models.specs import ReaderError

PURE = ("Mamba", "FalconMamba", "Mamba2")
HYBRIDS = ("Jamba", "Zamba2", "Bamba", "FalconH1", "GraniteMoeHybrid", "NemotronH")
EACH = pytest.mark.parametrize("family", PURE)


def draw(rows: int, length: int) -> torch.Tensor:
    return torch.randint(6, 64, (rows, length), generator=torch.Generator().manual_seed(length))


def read(model, ids, edit=None):
    found = mixers(model) if edit else []
    with torch.inference_mode(), intercepted([(mixer, edit) for mixer in found]):
        output = model(ids, use_cache=True)
    return output.logits, output.get("cache_params", output.get("past_key_values"))


def wide_model(family):
    """Mamba-2's fast scan wants heads of sixteen channels."""
    if family != "Mamba2":
        return random_model(family)
    sizes = {**SIZES[family], "num_heads": 4, "head_dim": 16}
    config = transformers.Mamba2Config(vocab_size=64, hidden_size=32, num_hidden_layers=2, **sizes)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return transformers.Mamba2ForCausalLM(config).eval()


@EACH
def test_the_reference_reads_as_transformers_does(family):
    model, ids = random_model(family), draw(1, 23)
    assert close(read(model, ids)[0][0], reference.logits(model, ids[0].tolist()))


@pytest.mark.parametrize("family", [*PURE, *HYBRIDS])
def test_an_edit_that_only_runs_the_scan_changes_nothing(family):
    model, ids = random_model(family), draw(2, 23)
    logits, cache = read(model, ids, ScanCall.run)
    expected, theirs = read(model, ids)
    with torch.inference_mode(), intercepted([(mixer, ScanCall.run) for mixer in mixers(model)]):
        assert close(model(ids, use_cache=False).logits, expected)
    assert close(logits, expected)
    for layer, mixer in enumerate(mixers(model)):
        index = getattr(mixer, "layer_idx", layer)
        assert close(cache.get_recurrent_state(index), theirs.get_recurrent_state(index))


@EACH
def test_the_fast_scan_agrees_with_transformers_own_over_two_thousand_tokens(family, monkeypatch):
    model, ids = wide_model(family), draw(1, 2000)
    fast, _ = read(model, ids, ScanCall.run)
    monkeypatch.setattr(delta, "with_fallback", lambda theirs: theirs)
    monkeypatch.setattr(delta, "_with_cpu_scan", lambda theirs: theirs)
    slow, _ = read(model, ids, ScanCall.run)
    assert not torch.equal(fast, slow)
    assert close(fast, slow, 1e-4)


@EACH
@pytest.mark.parametrize("fast", [True, False])
def test_a_raw_step_of_minus_ten_thousand_skips_the_token(family, fast, monkeypatch):
    """With the token's step at zero in every channel the state is the one of the prompt without it."""
    if not fast:
        monkeypatch.setattr(delta, "with_fallback", lambda theirs: theirs)
        monkeypatch.setattr(delta, "_with_cpu_scan", lambda theirs: theirs)
    keep = torch.tensor([[0, 1, 2, 4, 5, 8, 9, 10]])
    skipped = torch.ones(1, 11, 1, dtype=torch.bool).index_fill_(1, keep[0], False)
    states = []

    def compare(call: ScanCall):
        assert torch.equal(
            call.with_raw(call.raw.masked_fill(skipped, SKIP)).delta()[:, 3], 0 * call.raw[:, 3].float()
        )
        without = call.at(keep).run()
        zeroed = call.with_raw(call.raw.masked_fill(skipped, SKIP)).run()
        states.append(
            (without[1], zeroed[1], zeroed[0].select(call.time, 9), without[0].select(call.time, 6))
        )
        return call.run()

    read(random_model(family), draw(1, 11), compare)
    assert len(states) == 2
    for without, zeroed, y_zeroed, y_without in states:
        assert close(zeroed, without, 1e-5)
        assert close(y_zeroed, y_without, 1e-5)


@EACH
def test_given_steps_are_the_steps_that_are_scanned(family):
    model, ids = random_model(family), draw(1, 17)
    factor = torch.tensor(0.3)

    def scaled(layer, steps):
        return reference.unchanged(layer, replace(steps, delta=steps.delta * 0.3))

    logits, _ = read(model, ids, lambda call: call.with_delta(call.delta() * factor).run())
    assert close(logits[0], reference.logits(model, ids[0].tolist(), scaled))
    seen = []
    read(model, ids, lambda call: seen.append(call.with_delta(0 * call.delta()).delta().max()) or call.run())
    assert max(seen) == 0


def test_steps_and_rates_are_float32_in_half_precision_as_well():
    """Bias 0, A = -exp(0.5) and a step of softplus(3), all exact in bfloat16 but for what comes out."""
    call = ScanCall(None, torch.full((1, 1, 2), 3.0).bfloat16(), (), None, {}, 2)
    assert call.delta().dtype == torch.float32
    assert call.delta()[0, 0].tolist() == pytest.approx([3.0485873] * 2)
    mixer = SimpleNamespace(A_log=torch.full((2,), 0.5).bfloat16())
    assert rates(mixer).tolist() == pytest.approx([-1.6487213] * 2)


def test_a_kernels_floor_does_not_lift_a_zeroed_step():
    model = copy.deepcopy(random_model("Zamba2"))
    seen = []

    def edit(call: ScanCall):
        low = torch.arange(call.raw.shape[-1]) % 2 == 0
        raw = torch.where(low, SKIP, torch.full_like(call.raw, -20.0))
        call = replace(call, options=call.options | {"dt_limit": (0.001, 0.1)})
        seen.append(call.with_raw(raw).delta())
        assert call.with_raw(raw).options["dt_limit"][0] == 0
        return call.run()

    read(model, draw(1, 9), edit)
    assert seen[0][..., 0::2].max() == 0
    assert torch.allclose(seen[0][..., 1::2], torch.tensor(0.001))


def test_steps_lie_within_the_kernels_limits_and_given_ones_are_free_of_them():
    seen = []

    def edit(call: ScanCall):
        call = replace(call, options=call.options | {"dt_limit": (0.3, 0.6)})
        exact = F.softplus(call.raw.float() + call.options["dt_bias"]).clamp(0.3, 0.6)
        seen.append((call.delta(), exact))
        given = torch.linspace(0, 200, call.raw.shape[-1]).expand_as(call.raw)
        seen.append((call.with_delta(given).delta(), given))
        return call.run()

    read(random_model("Zamba2"), draw(1, 9), edit)
    assert len(seen) >= 2
    for steps, exact in seen:
        assert close(steps, exact)
    assert seen[0][0].min() == 0.3
    assert seen[0][0].max() == 0.6


@EACH
@pytest.mark.parametrize("attached", [True, False])
def test_mixers_are_put_back_as_they_were_even_after_an_error(family, attached):
    model = copy.deepcopy(random_model(family))
    if attached and family != "Mamba2":
        assert attach(model) == 2
    else:
        # an earlier test's edit would make this one blind
        assert not any("forward" in vars(mixer) for mixer in mixers(model))
    before = [(dict(vars(mixer)), mixer.forward.__func__) for mixer in mixers(model)]

    def fail(call: ScanCall):
        raise RuntimeError("in the scan")

    with pytest.raises(RuntimeError, match="in the scan"):
        read(model, draw(1, 5), fail)
    for mixer, (own, function) in zip(mixers(model), before, strict=True):
        assert ("forward" in vars(mixer)) == ("forward" in own)
        assert mixer.forward.__func__ is function


@pytest.mark.parametrize("family", ["Llama", "RecurrentGemma", "Rwkv"])
def test_a_reader_without_a_delta_is_refused_in_one_line(family):
    with pytest.raises(ReaderError, match="has no delta: expected Mamba") as error:
        mixers(random_model(family))
    assert "\n" not in str(error.value)


@EACH
def test_what_stock_transformers_makes_of_several_tokens_on_a_filled_cache_is_still_what_we_avoid(family):
    """Mamba-1 and Falcon-Mamba silently start again from nothing. Where this fails, transformers has changed: the
    engine's one token at a time is then no longer forced."""
    model, ids = random_model(family), draw(1, 23)
    with torch.inference_mode():
        whole = model(ids).logits[0, -1]
        first = model(ids[:, :11], use_cache=True)
        parts = model(ids[:, 11:], cache_params=first.cache_params, use_cache=True).logits[0, -1]
    assert close(parts, whole) == (family == "Mamba2")
