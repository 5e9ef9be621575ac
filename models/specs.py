"""The readers that the suite knows by name: where their weights are, and the defaults that depend on the
reader.

Hub ids and precisions are OPRM's (arXiv 2505.07793); any other hub id or local folder works with the
defaults of `ReaderSpec`. Torch-free. Exercised by ``python run_compare.py --model NAME``.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")


class ReaderError(ValueError):
    """The reader cannot be found or loaded, or was asked for what it cannot do; the message is one line."""


@dataclass(frozen=True)
class ReaderSpec:
    """One reader and the defaults that go with it.

    `path` is a hub id or a local folder, `tokenizer` the same where the tokenizer comes from elsewhere;
    `special_tokens` says whether a plain prompt gets the tokenizer's own start token; `dtype` is the
    precision on CUDA ("auto": the checkpoint's; a CPU uses float32); `chunk_size` and `overlap` are in the
    reader's tokens; `no_answer` is the word of OPRM's IDK filter; `window` is the hard limit of a reader
    with positions (None: the configuration's, and none for recurrent readers); `trained_length` the longest
    text it was trained on.
    """

    name: str
    path: str
    revision: str | None = None
    tokenizer: str | None = None
    special_tokens: bool = True
    dtype: str = "auto"
    chunk_size: int = 2000
    overlap: int = 0
    no_answer: str = "Error"
    window: int | None = None
    trained_length: int | None = None
    suite_english_only: bool = False
    needs_remote_code: bool = False


READERS = (
    ReaderSpec(
        name="tiny",
        path=str(Path(__file__).parent / "tiny"),
        chunk_size=250,
        overlap=16,  # blind cuts through a fact cost the embedded model about five points
        trained_length=600,
        suite_english_only=True,
    ),
    ReaderSpec(
        name="falcon-mamba-7b-instruct",
        path="tiiuae/falcon-mamba-7b-instruct",
        dtype="float16",
        trained_length=8192,
    ),
    ReaderSpec(
        name="falcon3-mamba-7b-instruct",
        path="tiiuae/Falcon3-Mamba-7B-Instruct",
        tokenizer="tiiuae/falcon-mamba-7b-instruct",  # as OPRM reads it
        dtype="float16",
        trained_length=32768,
    ),
    ReaderSpec(
        name="recurrentgemma-9b-it",
        path="google/recurrentgemma-9b-it",
        special_tokens=False,  # its chat turn carries the start token itself
        dtype="bfloat16",
        trained_length=8192,
    ),
    ReaderSpec(
        name="v6-finch-7b",
        path="RWKV/v6-Finch-7B-HF",
        dtype="float16",
        trained_length=4096,
        needs_remote_code=True,  # written for transformers 4; not run under 5
    ),
    *(
        ReaderSpec(name=f"mamba-{size}", path=f"state-spaces/mamba-{size}-hf", trained_length=2048)
        for size in ("130m", "370m", "790m", "1.4b", "2.8b")
    ),
)


def reader_spec(name_or_path: str) -> ReaderSpec:
    """The row of a known reader (by name, hub id or folder), or the defaults for any other hub id or
    folder.

    ReaderError for a bare name that is neither a row nor a folder, with the nearest match, and for a path
    that leads nowhere."""
    folder = Path(name_or_path)
    for spec in READERS:
        if name_or_path.lower() in (spec.name, spec.path.lower()):
            return spec
        if folder.is_dir() and folder.resolve() == Path(spec.path).resolve():
            return spec
    if folder.is_dir() or HUB_ID.fullmatch(name_or_path):
        return ReaderSpec(name=name_or_path, path=name_or_path)
    if "/" in name_or_path:
        raise ReaderError(
            f"no reader at {name_or_path!r}: expected an existing folder or a hub id (OWNER/NAME)"
        )
    names = [spec.name for spec in READERS]
    near = difflib.get_close_matches(name_or_path.lower(), names, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"known names: {', '.join(names)}"
    raise ReaderError(f"unknown reader {name_or_path!r}: {hint} (a folder or a hub id OWNER/NAME works too)")
