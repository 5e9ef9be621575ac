"""The inference engine: token ids in, last logits and one kept state out, for any causal language model
that transformers loads.

Rows are read in batches under a token budget, those of one length together (padding moves the logits of
recurrent models), or of any lengths where the forward reads them unpadded; one row's state is cut out and
decoded greedily. ``Engine.load("tiny")`` opens a reader,
`Engine(model, tokenizer, spec)` wraps a loaded one. Exercised by ``pytest tests/models/test_engine.py``.
"""

from __future__ import annotations

import inspect
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.cache import can_select, copy_state, select_row, start_state, state_argument
from models.cpu_mamba import mixes_lengths
from models.device_memory import device_gauge, token_budget
from models.limits import addressable_tokens, end_ids, head_reads_last, stop_at, window_of
from models.loading import open_reader
from models.meter import Cost, Meter
from models.specs import ReaderError, ReaderSpec, TooLittleMemory
from models.token_spans import Span
from models.tokens import Ids, Tokens


@dataclass
class Prefill:
    """Rows that have been read together.

    `logits` is float32 [rows, last, vocabulary], those of the last positions, to be cloned before they are
    changed in place (they are made in inference mode). `state` is the reader's, opaque. `again` says that the
    row had to be read a second time (or will be, by `decode`), because its family's state can neither be cut
    nor kept; `made_by` counts the forward that made the state.
    """

    rows: list[Ids]
    logits: torch.Tensor
    state: Any
    made_by: int
    again: bool = False


class Engine:
    """A reader on its device. Methods see ids, text and `Prefill.logits`, and no other tensor.

    `window` is the longest prompt of a reader with positions (None for those without); `kernel` names the
    code that reads: "numba" (ours, on a CPU), "cuda" (mamba_ssm and causal_conv1d), "torch" (transformers'
    own) or "remote" (the repository's); `batch_tokens` is the budget of a micro-batch, which shrinks when the
    device runs out of memory; `addressable` the most tokens of one forward that the kernels can count (None:
    any number); `revision` the hub's commit that was loaded, a local folder's content, or else the one asked for.

    An engine is for one thread at a time, since some methods change the reader's modules while it reads: load
    one for each thread, one after the other.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        spec: ReaderSpec,
        *,
        kernel: str = "torch",
        batch_tokens: int | None = None,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.spec = spec
        self.kernel = kernel
        self.revision: str | None = getattr(model.config, "_commit_hash", None) or spec.revision
        self.device = model.device
        self.dtype = model.dtype
        self.vocab_size: int = model.config.get_text_config().vocab_size
        self.window = spec.window or window_of(model)
        self.eos_ids = end_ids(model, tokenizer, spec.stop_tokens)
        self._tokens = Tokens(tokenizer, spec, self.eos_ids)
        self.addressable = addressable_tokens(model) if kernel == "cuda" else None
        budget = batch_tokens or token_budget(model)
        self.batch_tokens = min(budget, self.addressable or budget)
        self._state_argument = state_argument(model)
        accepted = inspect.signature(model.forward).parameters
        self._takes_last = "logits_to_keep" in accepted
        self._takes_positions = "position_ids" in accepted
        self._forwards = 0
        self._meter = Meter(device_gauge(self.device))

    @classmethod
    def load(
        cls,
        name: str,
        *,
        device: str = "auto",
        dtype: str = "auto",
        revision: str | None = None,
        trust_remote_code: bool = False,
        allow_slow: bool = False,
    ) -> Engine:
        """Open a reader: a name of `models/specs.py`, a hub id or a local folder.

        `dtype` "auto" is float32 on a CPU and the spec's on CUDA. ReaderError (one line) for a reader that
        is not there, incomplete, or needs what is not installed; `allow_slow` lets a Mamba run on CUDA
        without its kernels.
        """
        model, tokenizer, spec, kernel = open_reader(
            name,
            device=device,
            dtype=dtype,
            revision=revision,
            trust_remote_code=trust_remote_code,
            allow_slow=allow_slow,
        )
        return cls(model, tokenizer, spec, kernel=kernel)

    # Text and ids

    def encode(self, text: str, *, chat: bool = False) -> list[int]:
        """The prompt's ids: inside one user turn if `chat` and the spec or the tokenizer words one, and
        otherwise plain, with the start token that the tokenizer wants. ReaderError for an empty prompt."""
        return self._tokens.encode(text, chat=chat)

    def text(self, ids: Ids) -> str:
        """The text of the ids, special tokens left out."""
        return self._tokens.text(ids)

    def count_tokens(self, text: str) -> int:
        """Tokens of the text, special ones not counted."""
        return len(self._tokens.ids(text))

    def offsets(self, text: str) -> Iterator[Span]:
        """The span of characters (start, end) of every token, without special tokens, found as they are
        taken. ReaderError if the tokenizer cannot say."""
        return self._tokens.offsets(text)

    def first_ids(self, word: str) -> frozenset[int]:
        """The ids that an answer which is `word` can begin with: the first of the word's, with and without
        a blank before it, and behind a line break. Tokens that print nothing (a bare blank, an unknown word)
        are passed over; ReaderError if no other is left."""
        return self._tokens.first_ids(word)

    # Reading

    def prefill(self, rows: Sequence[Ids], *, last: int = 1) -> Prefill:
        """Read rows in one forward; `Prefill.logits` is float32 [rows, last, vocabulary].

        ReaderError for rows that are empty, shorter than `last`, longer than the window, or of unequal length
        (which the CPU's own forward of Mamba reads nevertheless, see `models/cpu_mamba.py`)."""
        self._check(rows, last)
        if len({len(row) for row in rows}) != 1 and not mixes_lengths(self.model):
            raise ReaderError(
                "rows of unequal length cannot be read together (nothing is padded): use prefill_batches"
            )
        with self.phase("prefill"):
            logits, state = self._forward(rows, last, start_state(self.model))
        self._meter.cost.prompt_tokens += sum(map(len, rows))
        return Prefill(list(rows), logits, state, made_by=self._forwards)

    def prefill_batches(self, rows: Iterable[Ids], *, last: int = 1) -> Iterator[tuple[list[int], Prefill]]:
        """Read rows of any lengths in micro-batches of at most `batch_tokens` tokens (one row at least), equal
        lengths together, or neighbours where the forward takes several. Yields the rows' positions, in their
        order within a batch, and their `Prefill`; rows are taken as they are needed, and a batch is read as
        soon as it is full.

        When the device runs out of memory the budget is halved, for good, and the batch is read again;
        ReaderError when one row alone does not fit."""
        mixed = mixes_lengths(self.model)
        waiting: defaultdict[int, dict[int, Ids]] = defaultdict(dict)
        tokens: Counter[int] = Counter()
        for position, row in enumerate(rows):
            self._check([row], last)
            alike = 0 if mixed else len(row)
            if tokens[alike] and tokens[alike] + len(row) > self.batch_tokens:
                yield from self._read(waiting.pop(alike), last)
                tokens[alike] = 0
            waiting[alike][position] = row
            tokens[alike] += len(row)
            if tokens[alike] + len(row) > self.batch_tokens:  # full, if the next is as long
                yield from self._read(waiting.pop(alike), last)
                tokens[alike] = 0
        for rest in waiting.values():
            yield from self._read(rest, last)

    def _read(self, rows: dict[int, Ids], last: int) -> Iterator[tuple[list[int], Prefill]]:
        """Rows that may be read together, by position, in as few batches as memory allows."""
        positions = list(rows)
        while positions:
            ends = accumulate(len(rows[position]) for position in positions)
            batch = positions[: max(1, sum(end <= self.batch_tokens for end in ends))]
            prefill = self._prefill_if_it_fits([rows[position] for position in batch], last)
            if prefill is None:
                self._halve([rows[position] for position in batch])
                continue
            yield batch, prefill
            del prefill  # before the next batch is read, so that one state at most is held here
            positions = positions[len(batch) :]

    def select(self, prefill: Prefill, row: int) -> Prefill:
        """One row by itself, in memory of its own: logits [1, last, vocabulary] and its state, as if it had
        been read alone. Where the family's state cannot be cut, or memory is too short for the copy (which
        halves the micro-batch), `again` is set and `decode` reads the row again."""
        if not 0 <= row < len(prefill.rows):
            raise IndexError(f"row {row} of a prefill of {len(prefill.rows)}")
        cut = Prefill([prefill.rows[row]], prefill.logits[row : row + 1].clone(), None, -1, again=True)
        if can_select(self.model, prefill.state):
            try:
                return replace(cut, state=select_row(prefill.state, row, self.device), again=False)
            except torch.OutOfMemoryError:
                if len(prefill.rows) > 1:
                    self._halve(prefill.rows)
                return cut
        if len(prefill.rows) == 1:
            return replace(cut, state=prefill.state, made_by=prefill.made_by, again=prefill.again)
        return cut

    def decode(self, prefill: Prefill, max_new_tokens: int, *, stop: Sequence[str] = ()) -> str:
        """Continue the one row greedily, token by token, and return the new text.

        Ends at an end-of-text token, at `max_new_tokens`, at the end of the window, or at a stop string,
        which is cut off with what follows; a stop string with nothing but blanks before it does not count
        (a leading newline is forgiven, as LongBench does). The prefill stays usable: decoding it again
        gives the same text. ReaderError for a `stop` that is a bare text, whose letters would be meant."""
        if isinstance(stop, str):
            raise ReaderError(
                f"stop is the text {stop!r}: expected a list or tuple of texts, such as ({stop!r},)"
            )
        if len(prefill.rows) != 1:
            raise ReaderError(f"decode takes one row, not {len(prefill.rows)}: select one first")
        if max_new_tokens < 1:
            raise ReaderError(f"max_new_tokens is {max_new_tokens}: expected at least 1")
        room = max_new_tokens
        if self.window is not None:
            room = min(room, self.window - len(prefill.rows[0]) + 1)  # the last new token is never read
        try:
            return self._continue(prefill, room, stop)
        except torch.OutOfMemoryError:
            raise self._too_little_memory(len(prefill.rows[0])) from None

    def _continue(self, prefill: Prefill, room: int, stop: Sequence[str]) -> str:
        state = self._own_state(prefill)
        logits, ids = prefill.logits, list[int]()
        with self.phase("decode"):
            while True:
                token = int(logits[0, -1].argmax())
                self._meter.cost.new_tokens += 1
                if token in self.eos_ids:
                    break
                ids.append(token)
                text = self.text(ids) if stop else ""
                if (end := stop_at(text, stop)) is not None:
                    return text[:end]
                if len(ids) == room:
                    break
                # one token at a time: several at once on a filled cache restart Mamba's state in transformers
                position = len(prefill.rows[0]) + len(ids) - 1
                logits, state = self._forward([[token]], 1, state, position=position)
        return self.text(ids)

    def generate(self, ids: Ids, max_new_tokens: int, *, stop: Sequence[str] = ()) -> str:
        """Read one prompt and continue it: `prefill`, then `decode`."""
        prefill = self._prefill_if_it_fits([ids], 1)
        if prefill is None:
            raise self._too_little_memory(len(ids))
        return self.decode(prefill, max_new_tokens, stop=stop)

    def score(self, prompt_ids: Ids, continuation_ids: Ids) -> float:
        """Log-probability (nats) of the continuation after the prompt: one forward, logits of its positions
        only. ReaderError if either is empty, or both together are longer than the window."""
        if not prompt_ids or not continuation_ids:
            raise ReaderError("score needs a prompt and a continuation of at least one token each")
        row = [*prompt_ids, *continuation_ids[:-1]]
        self._check([row], len(continuation_ids))
        with self.phase("score"):
            logits, _ = self._forward([row], len(continuation_ids), None, keep_state=False)
            targets = torch.tensor(continuation_ids, device=self.device)[:, None]
            total = logits[0].log_softmax(-1).gather(1, targets).sum().item()
        self._meter.cost.prompt_tokens += len(row)
        return total

    # Cost

    def meter(self) -> AbstractContextManager[Cost]:
        """``with engine.meter() as cost:`` counts everything the engine does inside, complete at the end."""
        return self._meter.run()

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Books the block's wall time under `name` in the running meter; see `Meter.phase`."""
        return self._meter.phase(name)

    def count_encoder_tokens(self, tokens: int) -> None:
        """For rankers: what their own encoder has read."""
        self._meter.cost.encoder_tokens += tokens

    # Inside

    def _check(self, rows: Sequence[Ids], last: int) -> None:
        lengths = {len(row) for row in rows}
        if not lengths or 0 in lengths:
            raise ReaderError("empty prompt: expected at least one token in every row")
        if not 1 <= last <= min(lengths):
            raise ReaderError(f"logits of the last {last} positions asked of a row of {min(lengths)} tokens")
        if self.window is not None and max(lengths) > self.window:
            raise ReaderError(
                f"{self.spec.name} reads {self.window} tokens and got {max(lengths)}: cut the prompt first"
            )

    @torch.inference_mode()
    def _forward(
        self,
        rows: Sequence[Ids],
        last: int,
        state: Any,
        *,
        position: int | None = None,
        keep_state: bool = True,
    ) -> tuple[torch.Tensor, Any]:
        """One call of the model: float32 logits [rows, last, vocabulary] and the state after the rows.
        `position` is that of a decoded token: some families (Bamba) count from 0 again unless told."""
        if self.addressable is not None and len(rows) * len(rows[0]) > self.addressable:
            raise ReaderError(
                f"{len(rows)} x {len(rows[0])} tokens are more than the {self.addressable} that its CUDA kernels "
                "can address in one forward: use a method that reads chunks"
            )
        self._forwards += 1
        options: dict[str, Any] = {} if state is None else {self._state_argument: state}
        if self._takes_last:
            options["logits_to_keep"] = last
        if self._takes_positions and position is not None:
            options["position_ids"] = torch.tensor([[position]], device=self.device)
        if min(lengths := [len(row) for row in rows]) < max(lengths):
            options["lengths"] = lengths
        ids = _square(rows)
        if (largest := int(ids.max())) >= self.vocab_size:
            raise ReaderError(
                f"token {largest} has no row in the embedding of {self.spec.name}, which has {self.vocab_size}: "
                "expected its own tokenizer, or resize_token_embeddings after tokens were added"
            )
        with head_reads_last(self.model, 0 if self._takes_last else last):
            output = self.model(
                input_ids=ids.to(self.device), use_cache=keep_state, return_dict=True, **options
            )
        self._meter.cost.calls += 1
        logits = output.logits[:, -last:].float()
        if torch.isnan(logits).any():
            raise ReaderError(
                f"{self.spec.name} answers NaN in {self.dtype}: try --dtype bfloat16 or float32"
            )
        returned = getattr(output, self._state_argument, None)
        return logits, state if returned is None else returned

    def _own_state(self, prefill: Prefill) -> Any:
        """A state that decoding may overwrite."""
        if can_select(self.model, prefill.state):
            return copy_state(prefill.state)
        state = prefill.state
        if prefill.made_by != self._forwards:
            # something was read since: a state that cannot be copied may be overwritten, wherever it is kept
            prefill.again = True
            state = self.prefill(prefill.rows).state
        if state is None:
            raise ReaderError(f"{self.spec.name} keeps no state of what it reads: nothing to decode from")
        return state

    def _prefill_if_it_fits(self, rows: Sequence[Ids], last: int) -> Prefill | None:
        try:
            return self.prefill(rows, last=last)
        except torch.OutOfMemoryError:
            return None  # retried by the caller, once this frame has let go of what did not fit

    def _halve(self, rows: Sequence[Ids]) -> None:
        if len(rows) == 1:
            raise self._too_little_memory(len(rows[0]))
        self.batch_tokens = sum(map(len, rows[: len(rows) // 2]))
        self._meter.cost.halvings += 1
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _too_little_memory(self, length: int) -> ReaderError:
        return TooLittleMemory(
            f"{self.device} has too little memory for one row of {length} tokens: use shorter chunks"
        )


def _square(rows: Sequence[Ids]) -> torch.Tensor:
    """The rows' ids, [rows, longest]; behind a shorter one stand zeros, which its forward does not read."""
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for given, row in zip(ids, rows, strict=True):
        given[: len(row)] = row
    return torch.from_numpy(ids)
