"""A reader whose next word is scripted, and one that is real, random and tiny."""

from __future__ import annotations

import re
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from models.specs import ReaderSpec

TOKEN = re.compile(r"\w+|[^\w\s]|\n")
VOCABULARY = 400


@dataclass
class ScriptedPrefill:
    rows: list[list[int]]
    logits: torch.Tensor
    again: bool = False


class ScriptedEngine:
    """Words are tokens. `think(text)` gives the probabilities of the word after `text`, `say(text)` the
    answer. `events` lists the calls, `states_held` the micro-batches alive when the next one was read and
    `states_kept` the selected rows when the next one was selected."""

    def __init__(
        self,
        think: Callable[[str], Mapping[str, float]] = lambda text: {"yes": 1.0},
        say: Callable[[str], str] = lambda text: text,
        *,
        batch_rows: int = 2,
        window: int | None = None,
        again: bool = False,
        **spec: Any,
    ) -> None:
        self.think, self.say, self.batch_rows, self.window, self.again = think, say, batch_rows, window, again
        self.spec = ReaderSpec(name="scripted", path="nowhere", **({"chunk_size": 4} | spec))
        self.ids: dict[str, int] = defaultdict(lambda: len(self.ids))
        self.events: list[tuple[str, str]] = []
        self.states_held: list[int] = []
        self.states_kept: list[int] = []
        self._selected: list[weakref.ref[ScriptedPrefill]] = []

    def encode(self, text: str, *, chat: bool = False) -> list[int]:
        words = ["<s>", *(["<user>"] if chat else []), *TOKEN.findall(text), *(["<reply>"] if chat else [])]
        return [self.ids[word] for word in words]

    def text(self, ids: Sequence[int]) -> str:
        words = {place: word for word, place in self.ids.items()}
        return " ".join(words[token] for token in ids if words[token] not in ("<s>", "<user>", "<reply>"))

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in TOKEN.finditer(text)]

    def first_ids(self, word: str) -> frozenset[int]:
        return frozenset({self.ids[word]})

    def prefill_batches(
        self, rows: Iterable[list[int]], *, last: int = 1
    ) -> Iterator[tuple[list[int], ScriptedPrefill]]:
        alive: list[weakref.ref[ScriptedPrefill]] = []
        rows = list(rows)
        by_length: dict[int, list[int]] = defaultdict(list)
        for position, row in enumerate(rows):
            by_length[len(row)].append(position)
        for places in by_length.values():
            for start in range(0, len(places), self.batch_rows):
                batch = places[start : start + self.batch_rows]
                self.states_held.append(sum(ref() is not None for ref in alive))
                prefill = ScriptedPrefill(
                    [rows[p] for p in batch], self._logits([rows[p] for p in batch], last)
                )
                alive.append(weakref.ref(prefill))
                yield batch, prefill
                del prefill

    def select(self, prefill: ScriptedPrefill, row: int) -> ScriptedPrefill:
        self.events.append(("select", self.text(prefill.rows[row])))
        self.states_kept.append(sum(ref() is not None for ref in self._selected))
        selected = ScriptedPrefill([prefill.rows[row]], prefill.logits[row : row + 1].clone(), self.again)
        self._selected.append(weakref.ref(selected))
        return selected

    def decode(self, prefill: ScriptedPrefill, max_new_tokens: int, *, stop: Sequence[str] = ()) -> str:
        self.events.append(("decode", self.text(prefill.rows[0])))
        return self.say(self.text(prefill.rows[0]))

    def generate(self, ids: list[int], max_new_tokens: int, *, stop: Sequence[str] = ()) -> str:
        self.events.append(("generate", self.text(ids)))
        return self.say(self.text(ids))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self.events.append(("phase", name))
        yield

    def of(self, kind: str) -> list[str]:
        return [what for event, what in self.events if event == kind]

    def _logits(self, rows: Sequence[list[int]], last: int) -> torch.Tensor:
        p = torch.zeros(len(rows), last, VOCABULARY)
        for place, row in enumerate(rows):
            for back in range(last):
                read = self.text(row[: len(row) - back])
                for word, probability in self.think(read).items():
                    p[place, last - 1 - back, self.ids[word]] = probability
        return p.log()


@pytest.fixture
def scripted() -> type[ScriptedEngine]:
    return ScriptedEngine


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's own place for calibrations, empty at first."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def mamba() -> Any:
    """The real engine around a random two-layer Mamba with one token a word and chunks of 12 tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import MambaConfig, MambaForCausalLM, PreTrainedTokenizerFast

    from models.engine import Engine

    words = ["<unk>", "<eos>", "Error", "\n", ".", "?", ":", *(f"w{number}" for number in range(57))]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(" ", "removed"), pre_tokenizers.Split("\n", "isolated")]
    )
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<eos>")
    sizes = {"hidden_size": 32, "state_size": 8, "num_hidden_layers": 2, "time_step_rank": 4}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MambaForCausalLM(MambaConfig(vocab_size=len(words), eos_token_id=1, pad_token_id=0, **sizes))
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.data += 0.3 * torch.randn_like(parameter)
    return Engine(model.eval(), wrapped, ReaderSpec(name="random", path="nowhere", chunk_size=12))
