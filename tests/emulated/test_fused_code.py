"""transformers' CUDA code path on a CPU: the Python and the Triton kernels of mamba-ssm and causal-conv1d through the
engine, against transformers' plain code. The compiled kernels, speed and a GPU's memory are not covered.

    make test-emulated
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

from benchmarks.base import PLAIN_QA
from comparison.plan import resolve
from models.engine import Engine, Prefill
from models.loading import load_model, load_tokenizer
from models.specs import ReaderSpec, reader_spec
from tests.emulated.stand_ins import CALLS, causal_conv1d_fwd
from tests.models.families import VOCABULARY, random_model

# Triton multiplies blocks of at least 16 by 16, and causal_conv1d wants strides that are multiples of 8
HEADS = {"hidden_size": 64, "mamba_d_state": 16, "mamba_d_head": 16}
SHAPES: dict[str, dict[str, Any]] = {
    "Mamba": {},
    "FalconMamba": {},
    "Jamba": {},
    "Lfm2": {},
    "Mamba2": {"hidden_size": 64, "state_size": 16, "head_dim": 16},
    "Bamba": HEADS,
    "FalconH1": {**HEADS, "mamba_d_ssm": 128},
    "GraniteMoeHybrid": HEADS,
    "NemotronH": {"hidden_size": 64, "ssm_state_size": 16, "mamba_head_dim": 16},
    "Zamba2": {"hidden_size": 64, "mamba_d_state": 16, "mamba_headdim": 16},
}
LAST = 3
CLOSE = 1e-5
"""Of the largest value: in float32 sums are taken in another order, which makes some 1e-6."""
FACTOR = 2
"""In half precision: how much further from float32 than transformers' own code, which is 1.4 at most."""
TINY = replace(reader_spec("tiny"), trained_length=16, decimated=((2,), 16))
"""The embedded reader, for which short prompts are long ones."""


def kernels(family: str) -> tuple[set[str], set[str]]:
    """What must run while a prompt is read, and while a token is."""
    if family == "Lfm2":
        return {"causal_conv1d_fwd"}, {"causal_conv1d_update"}
    channels = family in ("Mamba", "FalconMamba", "Jamba")
    scan = "selective_scan_fwd" if channels else "_chunk_scan_fwd_kernel"
    return {"causal_conv1d_fwd", scan}, {"causal_conv1d_update", "_selective_scan_update_kernel"}


def engine(model: Any, **options: Any) -> Engine:
    return Engine(model, load_tokenizer(TINY), ReaderSpec("random", "random"), **options)


def rows() -> list[list[int]]:
    """Two rows of three chunks, the last one short."""
    return torch.randint(3, VOCABULARY, (2, 33), generator=torch.Generator().manual_seed(0)).tolist()


def scopes(model: nn.Module) -> list[dict[str, Any]]:
    """The namespaces in which the model's modules look for their functions."""
    return [vars(sys.modules[name]) for name in {type(module).__module__ for module in model.modules()}]


@contextmanager
def plain(model: nn.Module) -> Iterator[None]:
    """transformers' own functions in place of the packages'."""
    with ExitStack() as stack:
        for scope in scopes(model):
            own = {key: inspect.unwrap(value) for key, value in scope.items() if inspect.isfunction(value)}
            stack.enter_context(patch.dict(scope, own))
        yield


def tensors(prefill: Prefill) -> dict[Any, Tensor]:
    """The logits and every tensor of the cache: convolution and recurrent states, keys and values."""
    found = {"logits": prefill.logits}
    for place, layer in enumerate(prefill.state.layers):
        for name, value in vars(layer).items():
            kept = value if isinstance(value, dict) else {0: value}
            found |= {(place, name, key): one for key, one in kept.items() if isinstance(one, Tensor)}
    assert len(found) > 1
    return found


def distance(given: Tensor, wanted: Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    return ((given.float() - wanted.float()).abs().max() / wanted.abs().max()).item()


@pytest.fixture(autouse=True)
def none_called() -> None:
    CALLS.clear()


@pytest.mark.parametrize("family", SHAPES)
def test_the_packages_read_cut_decode_and_score_as_transformers_own_code_does(family: str) -> None:
    model = random_model(family, **SHAPES[family])
    reader = engine(model, kernel="cuda")
    read = reader.prefill(rows(), last=LAST)
    texts = [reader.decode(reader.select(read, place), 5) for place in range(2)]
    score, fast = reader.score(rows()[0], rows()[1][:3]), tensors(read)
    assert set.union(*kernels(family)) <= set(CALLS)
    CALLS.clear()
    with plain(model):
        own = engine(model)
        slow = tensors(own.prefill(rows(), last=LAST))
        wanted = [own.generate(row, 5) for row in rows()]  # each read alone
        expected = own.score(rows()[0], rows()[1][:3])
    assert not CALLS
    assert {name: distance(fast[name], slow[name]) for name in slow} == pytest.approx(
        dict.fromkeys(fast, 0), abs=CLOSE
    )
    assert texts == wanted
    assert score == pytest.approx(expected, rel=CLOSE)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("family", ["Mamba", "Jamba", "Mamba2"])
def test_half_precision_is_as_near_to_float32_as_transformers_own(
    family: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    model = random_model(family, **SHAPES[family])
    model.save_pretrained(tmp_path)  # and loaded as a reader is, since some weights stay in float32
    half = type(model).from_pretrained(tmp_path, dtype=dtype)
    reader = engine(half, kernel="cuda")
    read = reader.prefill(rows(), last=LAST)
    reader.decode(reader.select(read, 1), 3)
    assert set.union(*kernels(family)) <= set(CALLS)
    with plain(model):
        own = tensors(engine(half).prefill(rows(), last=LAST))
        exact = tensors(engine(model).prefill(rows(), last=LAST))
    for name, tensor in tensors(read).items():
        assert distance(tensor, exact[name]) <= FACTOR * distance(own[name], exact[name]), name
        assert tensor.dtype == (torch.float32 if name == "logits" or "recurrent_states" in name else dtype)


@pytest.mark.parametrize("family", SHAPES)
def test_a_reader_on_the_cpu_calls_nothing_of_the_packages_beside_it(family: str, tmp_path: Path) -> None:
    model = random_model(family, **SHAPES[family])
    model.save_pretrained(tmp_path)
    load_tokenizer(TINY).save_pretrained(tmp_path)
    with ExitStack() as stack:
        for scope in scopes(model):
            stack.enter_context(patch.dict(scope))
        Engine.load(str(tmp_path), device="cpu").generate(rows()[0], 3)
    assert not CALLS


@pytest.mark.parametrize("name", ["delta_scale", "decimamba", "longmamba", "upi"])
def test_a_method_inside_the_reader_answers_as_with_transformers_own_code(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.delta._with_cpu_scan", lambda theirs: theirs)
    model = load_model(TINY, torch.float32)
    context = " ".join(f"The office of Alden {number} is in Paris." for number in range(6))
    (tmp_path / "text").write_text(context * 4, encoding="utf-8")
    options = {"text": tmp_path / "text"} if name in ("longmamba", "upi") else {}
    task = replace(PLAIN_QA, max_new_tokens=4, stop=())

    def answer(kernel: str) -> tuple[str, dict[str, Any], Tensor]:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / kernel))  # each is calibrated for itself
        method = resolve("method", name).factory(
            Engine(model, load_tokenizer(TINY), TINY, kernel=kernel), **options
        )
        with patch.object(Engine, "decode", autospec=True, side_effect=Engine.decode) as decode:
            made = method.answer(context, "Where is Alden?", task=task)
        return made.text, made.details | {"calibration_seconds": 0}, decode.call_args.args[1].logits

    *fast, logits = answer("cuda")
    assert set.union(*kernels("Mamba")) <= set(CALLS)
    with plain(model):
        *slow, wanted = answer("torch")
    assert fast == slow
    assert fast[1]["flags"] == ["triggered"]
    assert distance(logits, wanted) < CLOSE


def test_a_stand_in_refuses_what_the_compiled_function_would() -> None:
    x, weight = torch.zeros(1, 5, 12).transpose(1, 2), torch.zeros(12, 4)
    with pytest.raises(RuntimeError, match=r"takes no x .* with channels last"):
        causal_conv1d_fwd(x, weight, None, None, None, torch.empty_like(x), None, True)
