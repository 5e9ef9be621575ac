"""The command line of `models/efficiency.py`, and the TOML file that may stand for its flags. Torch-free.

python -m models.efficiency --help
"""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

from comparison.command_line import Parser, add_trust, path_of
from models.shapes import SHAPES

PICTURES = (".png", ".pdf", ".svg")


def lengths_of(text: str) -> tuple[int, ...]:
    """``"512,2k"`` is (512, 2000)."""
    try:
        found = tuple(sorted({_length(part) for part in text.split(",")}))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected lengths in tokens like 512,2k,16k") from None
    if found[0] < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: a context has at least 1 token")
    return found


def _length(text: str) -> int:
    return int(text[:-1]) * 1000 if text.lower().endswith("k") else int(text)


def names_of(text: str) -> tuple[str, ...]:
    """``"full, oprm"`` is ("full", "oprm"); a name counts once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",")))


def positive(text: str) -> int:
    """A whole number above 0."""
    if not re.fullmatch(r"0*[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number above 0")
    return int(text)


def picture(text: str) -> Path:
    """A path whose ending says what kind of picture it is."""
    if Path(text).suffix.lower() not in PICTURES:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a file name that ends in {', '.join(PICTURES)}")
    return Path(text)


def parser() -> argparse.ArgumentParser:
    """The command line of this program."""
    made = Parser(
        prog="python -m models.efficiency", description="Seconds and peak memory by context length."
    )
    which = made.add_mutually_exclusive_group()
    which.add_argument("--model", default="tiny", help="a reader's name, hub id or folder (default: tiny)")
    which.add_argument("--random", metavar="SHAPE", help=f"random weights: {', '.join(SHAPES)}")
    made.add_argument(
        "--revision", metavar="REV", help="commit, branch or tag of a hub id (default: the reader's)"
    )
    made.add_argument(
        "--methods",
        type=names_of,
        default=names_of("full,oprm"),
        help="names, separated by commas (default: full,oprm)",
    )
    made.add_argument(
        "--lengths",
        type=lengths_of,
        default=lengths_of("2k,4k,8k,16k,32k,64k,128k"),
        help="tokens of the prompt (default: 2k to 128k, doubling)",
    )
    made.add_argument(
        "--chunk-size", type=positive, help="of the methods with chunks (default: the reader's)"
    )
    made.add_argument("--new-tokens", type=positive, default=20, help="tokens decoded (default: %(default)s)")
    made.add_argument(
        "--rounds",
        type=positive,
        default=1,
        help="measure the methods in turn so often, forth and back, for medians and ratios (default: 1)",
    )
    made.add_argument(
        "--fallback",
        type=lengths_of,
        nargs="?",
        const=lengths_of("512"),
        default=(),
        metavar="LENGTHS",
        help="transformers' own code as well, at these lengths (512 where none is named)",
    )
    made.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    made.add_argument(
        "--dtype",
        default="auto",
        choices=("auto", "float32", "float16", "bfloat16"),
        help="the reader's precision (default: auto)",
    )
    add_trust(made)
    made.add_argument("--threads", type=positive, help="CPU threads (default: all cores)")
    made.add_argument("--csv", type=path_of, metavar="FILE", help="written row by row")
    made.add_argument("--plot", type=picture, metavar="FILE", help="a picture (.png, .pdf, .svg)")
    made.add_argument(
        "--config", type=path_of, metavar="FILE", help="a TOML file whose keys are the flags above; flags win"
    )
    made.add_argument("--dry-run", action="store_true", help="print the table's cells and stop")
    return made


def settings_of(arguments: Sequence[str]) -> argparse.Namespace:
    """The flags, and for those not given what the file of ``--config`` says. ValueError for a file that cannot
    be used."""
    made = parser()
    given = made.parse_args(arguments)
    if given.config is None:
        return given
    said = {flag.partition("=")[0].removeprefix("--") for flag in arguments}
    one_of = said & {"model", "random"}
    flags = []
    for name, value in _read_config(given.config, sorted(set(vars(given)) - {"config", "dry_run"})).items():
        if not (one_of and name in ("model", "random")):
            flags += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return made.parse_args([*flags, *arguments])


def _read_config(path: Path, names: Sequence[str]) -> dict[str, str | int]:
    """The settings of a TOML file by the long flags' names, text and whole numbers (`true` for a switch)."""
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise ValueError(f"cannot read {path}: {problem.strerror}") from problem
    except ValueError as problem:
        raise ValueError(f"{path} is not TOML: {problem}") from problem
    known = [name.replace("_", "-") for name in names]
    for name, value in settings.items():
        if name not in known:
            raise ValueError(f"{path} has the unknown key {name!r}: expected some of {', '.join(known)}")
        if name == "trust-remote-code":
            if value is not True:
                raise ValueError(f"{path} has {name} = {value!r}, expected true, or no such line")
        elif isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError(f"{path} has {name} = {value!r}, expected text or a whole number")
    return settings
