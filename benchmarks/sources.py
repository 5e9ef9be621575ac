"""Where benchmark files come from: a local folder, a member of a zip read in place, the Hugging Face hub.

Order: what lies in the folder, what is in the hub's cache, the hub itself; a repository's script is never run.
The hub's clients do the fetching (resumable, with progress); without a network one line says what is missing.
A file's revision is its content's digest or the commit it was downloaded at, so that no two states of the
data are ever mixed. A row that cannot be read is named with its file and line, and the reading goes on.
Exercised by ``python -m pytest tests/benchmarks/test_sources.py``.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

HELLO = 10.0  # seconds that the hub has to answer at all


class DataError(ValueError):
    """Data that are not there or cannot be used; one line says what was expected and what to do."""


@contextmanager
def reading(name: object) -> Iterator[None]:
    """`DataError` where a file of that name cannot be read in the block."""
    try:
        yield
    except OSError as problem:
        raise DataError(f"cannot read {name}: {problem.strerror or problem}") from problem


@dataclass(frozen=True)
class Source:
    """One file of rows: on disk, or `member` of a zip on disk. `revision` names its content; `note` says that it
    is read in the place of another."""

    path: Path
    revision: str
    member: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"{self.path.name}:{self.member}" if self.member else str(self.path)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The file's bytes. `DataError` where it cannot be read."""
        try:
            with reading(self.name):
                if not self.member:
                    with self.path.open("rb") as file:
                        yield file
                    return
                with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as inner:
                    yield inner  # type: ignore[misc]
        except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as problem:
            raise DataError(f"cannot read {self.name}: {problem}; fetch the file again") from problem


def local_file(path: Path) -> Source:
    """A file on disk; its revision is ``file-`` and sixteen hex digits of its SHA-256."""
    with reading(path), path.open("rb") as file:
        return Source(path, f"file-{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}")


def zip_members(path: Path, *, revision: str = "") -> dict[str, Source]:
    """The files of a zip by their last path component, none of them unpacked. `DataError` where two files of rows
    have the same."""
    revision = revision or local_file(path).revision
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
    except (OSError, zipfile.BadZipFile) as problem:
        raise DataError(f"{path} is not a whole zip file ({problem}): fetch it again") from problem
    found: dict[str, Source] = {}
    for name in names:
        last = name.rpartition("/")[2]
        if last in found and last.endswith(".jsonl"):
            raise DataError(f"{path} holds {found[last].member} and {name}: leave one of them")
        found[last] = Source(path, revision, name)
    return found


def hub_file(repository: str, name: str, revision: str, *, looked: str = "") -> Source:
    """A file of a hub data set: from the cache if it is there, downloaded otherwise.

    Its revision is ``REPOSITORY@COMMIT``; `looked` is the place where a file of the user's would have come first.
    `DataError` without a network, or where there is no such file."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    def fetch(offline: bool) -> str:
        return hf_hub_download(
            repository, name, repo_type="dataset", revision=revision, local_files_only=offline
        )

    try:
        path = Path(fetch(offline=True))
    except LocalEntryNotFoundError:
        try:
            _greet_hub()
            path = Path(fetch(offline=False))
        except Exception as problem:
            raise _unreachable(f"{name} of {repository}", problem, looked) from problem
    fetched = f"{repository}@{path.parts[path.parts.index('snapshots') + 1]}"
    return Source(path, fetched, note=_instead(looked, fetched))


@dataclass(frozen=True)
class HubRows:
    """The rows of a hub data set, each with its place ``REPOSITORY/CONFIG row N``, counted from 1; `note` as that
    of a `Source`."""

    name: str
    revision: str
    rows: Sequence[dict[str, Any]]
    note: str = ""

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        return ((f"{self.name} row {number}", row) for number, row in enumerate(self.rows, start=1))


def hub_rows(repository: str, config: str | None, split: str, *, looked: str = "") -> HubRows:
    """A hub data set of parquet or JSON files, or a folder laid out like one; `looked` as in `hub_file`.

    Its revision is ``REPOSITORY@COMMIT``, the commit that was fetched, now or when it was put into the cache.
    `DataError` without a network, without such a configuration, or without the package datasets."""
    try:
        import datasets
    except ImportError as problem:
        raise DataError(
            f"{repository} is read with the package datasets, which is not installed: pip install datasets"
        ) from problem

    def load() -> Any:
        return datasets.load_dataset(repository, config, split=split)

    try:
        with _offline():
            rows = load()
    except Exception as first:
        what = f"{config or 'the data'} of {repository}"
        if Path(repository).is_dir():
            raise DataError(f"cannot read {what}: {_reason(first)}") from first
        try:
            _greet_hub()
            rows = load()
        except Exception as problem:
            raise _unreachable(what, problem, looked) from problem
    # datasets prepares a data set in a folder that is named after the commit (or the content) it was made from
    commit = Path(rows.cache_files[0]["filename"]).parent.name if rows.cache_files else "main"
    fetched = f"{repository}@{commit}"
    return HubRows(f"{repository}/{config or split}", fetched, rows, _instead(looked, fetched))


def read_rows(source: Source | HubRows, bad: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The JSON objects of a file, one a line, each with its place ``FILE:LINE``, or the rows of a hub data set.

    A line that is no JSON object (torn, another type, other bytes than UTF-8) is added to `bad` with its
    place; empty lines are passed over. `DataError` where the file cannot be read."""
    if isinstance(source, HubRows):
        yield from source
        return
    with source.open() as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                place = f"{source.name}:{number}"
                row = parse_row(line)
                if row is None:
                    bad.append(f"{place}: not a whole JSON object")
                else:
                    yield place, row


def parse_row(text: bytes) -> dict[str, Any] | None:
    """A JSON object of whole characters, None for anything else."""
    try:
        row = json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and (b"\\u" not in text or encodable(row)) else None


def encodable(row: Mapping[str, Any]) -> bool:
    """Whether every text of a row can be encoded: JSON can hold half a character, which no tokenizer reads."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


def texts(value: object) -> tuple[str, ...] | None:
    """A list of strings as a tuple; None for any other type, such as the bare string of a mistaken export."""
    if isinstance(value, list | tuple) and all(isinstance(text, str) for text in value):
        return tuple(value)
    return None


def kind(value: object) -> str:
    """What messages call a value that is no list of texts."""
    if isinstance(value, list):
        odd = next((type(one).__name__ for one in value if not isinstance(one, str)), "")
        return f"a list that holds a {odd}" if odd else "a list"
    return "null" if value is None else f"of type {type(value).__name__}"


def text(row: Mapping[str, Any], field: str) -> str:
    """A field's text, the empty string where it is missing, null or of another type."""
    value = row.get(field)
    return value if isinstance(value, str) else ""


def distinct(ids: Iterable[str]) -> Iterator[str]:
    """The ids, a repeated one with the first free of ``-2``, ``-3`` ... behind it, as redistributed sets hold
    some rows twice."""
    given: set[str] = set()
    times: Counter[str] = Counter()
    for one in ids:
        name = one
        while name in given:
            times[one] += 1
            name = f"{one}-{times[one] + 1}"
        given.add(name)
        yield name


def _greet_hub() -> None:
    """One quick request; raises where there is no network. The clients would try for half a minute instead,
    and say so five times."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    get_session().head(constants.ENDPOINT, timeout=HELLO)


@contextmanager
def _offline() -> Iterator[None]:
    """The package datasets reads its cache, asks nobody, and does not warn that it did."""
    from datasets import config
    from datasets.utils import logging
    from huggingface_hub import constants

    before = config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    verbosity = logging.get_verbosity()
    config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    logging.set_verbosity_error()
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before
        logging.set_verbosity(verbosity)


def _instead(looked: str, fetched: str) -> str:
    return f"{looked} is not there: the hub's {fetched} is read" if looked else ""


def _unreachable(what: str, problem: Exception, looked: str) -> DataError:
    here = f", and there is no {looked}" if looked else ""
    put = "it there" if looked else "the files in a folder and name it with --data-dir"
    return DataError(
        f"cannot fetch {what} from the Hugging Face hub ({_reason(problem)}): it is not in the cache{here}; go online "
        f"once, or put {put}"
    )


def _reason(problem: Exception) -> str:
    """The first line of what a client of the hub says."""
    return (next(iter(str(problem).strip().splitlines()), "") or type(problem).__name__)[:200]
