"""The engine and its device: memory that runs out, memory that stays flat, tensors that say where they are."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

from benchmarks.base import PLAIN_QA
from methods.oprm import OPRM
from models import engine as engine_room
from models.engine import Engine, Prefill
from models.specs import ReaderError

Reader = Callable[..., Engine]
Rows = Callable[[int, int], list[list[int]]]


def full_device(engine: Engine, most_rows: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Makes the model run out of memory beyond so many rows; returns the rows of every attempt."""
    attempts: list[int] = []
    forward = engine.model.forward

    def cramped(input_ids: torch.Tensor, **given: Any) -> Any:
        attempts.append(len(input_ids))
        if len(input_ids) > most_rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(input_ids=input_ids, **given)

    monkeypatch.setattr(engine.model, "forward", cramped)
    return attempts


def test_running_out_of_memory_halves_the_batch_and_goes_on(
    reader: Reader, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = reader(batch_tokens=1000)
    attempts = full_device(engine, 2, monkeypatch)
    with engine.meter() as cost:
        batches = list(engine.prefill_batches(rows(7, 10)))
    assert [positions for positions, _ in batches] == [[0], [1], [2], [3], [4], [5], [6]]
    assert attempts == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert (cost.halvings, engine.batch_tokens) == (2, 10)
    assert (cost.calls, cost.prompt_tokens) == (7, 70)


def test_one_row_that_does_not_fit_is_an_error_that_says_so(
    reader: Reader, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = reader()
    full_device(engine, 0, monkeypatch)
    with pytest.raises(ReaderError, match="too little memory for one row of 10 tokens"):
        list(engine.prefill_batches(rows(4, 10)))


def test_a_prompt_that_does_not_fit_is_the_same_error(
    reader: Reader, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = reader()
    full_device(engine, 0, monkeypatch)
    with pytest.raises(ReaderError, match="too little memory for one row of 10 tokens"):
        engine.generate(rows(1, 10)[0], 3)


def out_of_memory(*_: Any) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


def test_where_a_row_does_not_fit_beside_its_batch_it_is_read_again(
    reader: Reader, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = reader(batch_tokens=1000)
    batch = rows(4, 10)
    with monkeypatch.context() as cramped, engine.meter() as cost:
        together = engine.prefill(batch)
        cramped.setattr(engine_room, "select_row", out_of_memory)
        picked = engine.select(together, 2)
    assert (picked.again, cost.halvings, engine.batch_tokens) == (True, 1, 20)
    assert engine.decode(picked, 5) == engine.generate(batch[2], 5)


def test_running_out_of_memory_while_decoding_is_an_error_that_says_so(
    reader: Reader, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = reader()
    prefill = engine.prefill(rows(1, 10))
    full_device(engine, 0, monkeypatch)
    with pytest.raises(ReaderError, match="too little memory for one row of 10 tokens"):
        engine.decode(prefill, 5)


def test_chunks_leave_one_state_of_one_row_behind_however_many_there_are(reader: Reader) -> None:
    engine = reader(batch_tokens=90, spec={"chunk_size": 20})
    states: list[weakref.ref[Any]] = []
    held: list[int] = []

    def look(*_: Any) -> None:
        held.append(sum(ref() is not None for ref in states))

    def keep(_: Any, __: Any, output: Any) -> None:
        states.append(weakref.ref(output.cache_params))

    def select(prefill: Prefill, row: int) -> Prefill:
        picked = Engine.select(engine, prefill, row)
        states.append(weakref.ref(picked.state))
        return picked

    engine.select = select  # type: ignore[method-assign]
    hooks = [engine.model.register_forward_pre_hook(look), engine.model.register_forward_hook(keep)]
    try:
        context = " ".join(f"w{20 + place * 7 % 31}" for place in range(600))
        answer = OPRM(engine, idk_filter=False).answer(
            context, "w3 w4", task=replace(PLAIN_QA, max_new_tokens=1)
        )
    finally:
        for hook in hooks:
            hook.remove()
    assert answer.details["chunks"] == 30
    assert len(held) >= 15
    assert max(held) == 1


# The device


class Homeless(TorchFunctionMode):
    """Notes where our own files make a tensor without saying on which device."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def __torch_function__(self, function, types, args=(), kwargs=None) -> Any:
        given = kwargs or {}
        caller = sys._getframe(1)
        ours = Path(caller.f_code.co_filename).parent in OUR_FOLDERS
        if ours and function in _device_constructors() and given.get("device") is None:
            self.places.append(f"{caller.f_code.co_filename}:{caller.f_lineno}")
        return function(*args, **given)


OUR_FOLDERS = [Path(engine_room.__file__).parents[1] / room for room in ("models", "methods", "retrievers")]


def test_no_call_makes_a_tensor_without_saying_on_which_device(
    family: str, reader: Reader, rows: Rows
) -> None:
    engine = reader(family, spec={"chunk_size": 20})
    with Homeless() as found:
        for _, prefill in engine.prefill_batches(rows(3, 12), last=2):
            engine.decode(engine.select(prefill, 1), 3, stop=(".",))
        engine.generate(rows(1, 9)[0], 3)
        engine.score([7, 8, 9], [10, 11])
        for select in ("entropy", "query_likelihood"):
            OPRM(engine, select=select).answer("w3 w4 w5 . " * 12, "w3 w4")
    assert found.places == []


def test_a_tensor_without_a_device_is_found() -> None:
    with Homeless() as found:
        code = compile(
            "import torch; torch.zeros(2); torch.zeros(2, device='cpu')", OUR_FOLDERS[0] / "x.py", "exec"
        )
        exec(code, {})
    assert len(found.places) == 1
