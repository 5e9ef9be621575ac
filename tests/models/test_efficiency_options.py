"""The flags of the efficiency program, the file that may stand for them, and mistakes in either."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from models import efficiency
from models.efficiency import main


def write_config(folder: Path, text: str) -> str:
    path = folder / "table.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_gives_the_flags_and_flags_win_over_it(tmp_path: Path) -> None:
    text = 'model = "smollm2"\nlengths = "2k,4k"\nchunk-size = 99\ncsv = "t.csv"\ntrust-remote-code = true\n'
    path = write_config(tmp_path, text)
    given = efficiency.settings_of(["--config", path, "--lengths", "512", "--dtype=float16"])
    assert (given.model, given.lengths, given.chunk_size) == ("smollm2", (512,), 99)
    assert (given.csv, given.dtype, given.methods) == (Path("t.csv"), "float16", ("full", "oprm"))
    assert given.trust_remote_code
    assert efficiency.settings_of(["--config", path]).lengths == (2000, 4000)


def test_half_a_flag_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file's setting would not give way to it."""
    path = write_config(tmp_path, 'model = "tiny"')
    with pytest.raises(SystemExit):
        main(["--config", path, "--rand", "mamba-130m", "--dry-run"])
    assert "unrecognized arguments: --rand" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--random=mamba-130m", "--model=smollm2"])
def test_the_reader_of_a_flag_wins_over_the_files_of_either_kind(flag: str, tmp_path: Path) -> None:
    for text in ('model = "tiny"', 'random = "mamba-370m"'):
        given = efficiency.settings_of(["--config", write_config(tmp_path, text), flag])
        assert (f"--random={given.random}" if given.random else f"--model={given.model}") == flag


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('lenghts = "2k"', r"table.toml has the unknown key 'lenghts': expected some of .*lengths"),
        ("methods = ['full']", r"table.toml has methods = \['full'\], expected text or a whole number"),
        ("chunk-size = true", "chunk-size = True, expected text"),
        ("trust-remote-code = false", "trust-remote-code = False, expected true, or no such line"),
        ("methods = ", "table.toml is not TOML"),
        ('config = "other.toml"', "unknown key 'config'"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_and_exit_2(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", write_config(tmp_path, text)]) == 2
    said = capsys.readouterr().err
    assert re.match(f"python -m models.efficiency: error: .*{message}", said)
    assert said.count("\n") == 1
    assert main(["--config", str(tmp_path / "none.toml")]) == 2
    assert "cannot read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--methods", "ful"], "did you mean full"),
        (["--random", "mamba-130"], "did you mean 'mamba-130m'"),
        (["--lengths", "2x"], "expected lengths in tokens"),
        (["--lengths", "0"], "at least 1 token"),
        (["--chunk-size", "0"], "expected a whole number above 0"),
        (["--threads", "-2"], "expected a whole number above 0"),
        (["--new-tokens", "1.5"], "expected a whole number above 0"),
        (["--dtype", "foo"], "invalid choice: 'foo'"),
        (["--plot", "picture"], "expected a file name that ends in .png"),
        (["--csv", "/"], "Is a directory"),
        (["--random", "mamba-130m", "--model", "mamba-370m"], "not allowed with"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    arguments: Sequence[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(arguments)
    except SystemExit as stopped:
        status = stopped.code  # type: ignore[assignment]
    assert status == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert says in last
