"""The study of the state's size: readers differ in it alone, a stopped study goes on, its files say what it found."""

from __future__ import annotations

import csv
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from models.engine import Engine
from models.tiny import capacity, learning
from models.tiny.capacity import Cell, Size, Study


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Study:
    """Two steps of a few hundred tokens, one question a cell."""
    monkeypatch.setattr(capacity, "TOKENS_PER_STEP", 300)
    monkeypatch.setattr(capacity, "FACTS", (4, 16))
    monkeypatch.setattr(capacity, "LENGTH", 300)
    return Study(tmp_path / "study", seed=0, steps=2, samples=1)


def size(state: int, full: int, oprm: int, rung: int = 9) -> Size:
    cells = [Cell("full", facts, full, 200) for facts in capacity.FACTS]
    cells += [Cell("oprm", facts, oprm, 200) for facts in capacity.FACTS]
    return Size(state, 256 * state, 130_000, rung, 13, 12_000_000, 240.0, 30.0, tuple(cells))


def lessons_read(study: Study, state: int, rung: int, steps: int) -> list[list[int]]:
    """The tokens of the lessons that a reader standing on a rung reads."""
    run = capacity.start(study, state)
    run.ladders["facts"].rung = rung
    return [lesson.ids for step in range(steps) for lesson in run.course(step, False)[2]]


def test_the_readers_differ_in_the_size_of_their_state_alone(quick: Study) -> None:
    small, large = (capacity.start(quick, state).model for state in (4, 8))
    ours, theirs = small.config.to_dict(), large.config.to_dict()
    assert {key for key in ours if ours[key] != theirs[key]} == {"state_size"}
    shapes = [{name: tuple(p.shape) for name, p in one.named_parameters()} for one in (small, large)]
    differing = {name.rsplit("mixer.")[-1] for name in shapes[0] if shapes[0][name] != shapes[1][name]}
    assert differing == {"A_log", "x_proj.weight"}
    assert torch.equal(small.lm_head.weight, large.lm_head.weight)


def test_the_first_reading_is_as_strong_in_a_small_state_as_in_a_large_one(quick: Study) -> None:
    """Keys start as queries, so that a name read back from the state gives the sum of their squares."""
    strengths = []
    for state in (4, 16, 64):
        mixer = capacity.start(quick, state).model.backbone.layers[0].mixer
        keys = mixer.x_proj.weight[mixer.time_step_rank :][:state]
        strengths.append(keys.square().sum().item())
    assert strengths == pytest.approx([strengths[0]] * 3, rel=0.1)


def test_every_size_reads_the_same_lessons_and_in_the_second_half_however_far_it_climbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "TOKENS_PER_STEP", 300)
    study = Study(tmp_path, seed=0, steps=4, samples=1)
    assert lessons_read(study, 4, 0, 4) == lessons_read(study, 8, 0, 4)
    alone, followed = (lessons_read(study, 4, 0, steps) for steps in (1, 2))
    assert followed[: len(alone)] == alone
    assert followed[len(alone) :] != alone
    first = [lessons_read(study, 4, rung, 2) for rung in (0, 8)]
    assert first[0] != first[1]
    both = [lessons_read(study, 4, rung, 4)[len(first[place]) :] for place, rung in enumerate((0, 8))]
    assert both[0] == both[1]
    assert both[0]


def test_the_decay_rates_of_a_large_state_are_no_matrix_to_the_optimizer(quick: Study) -> None:
    run = capacity.start(quick, 32)
    rates = {id(block.mixer.A_log) for block in run.model.backbone.layers}
    decaying, others = ({id(p) for p in group["params"]} for group in run.optimizer.param_groups)
    assert rates <= others
    assert not rates & decaying
    assert run.optimizer.param_groups[1]["weight_decay"] == 0.0


def test_each_method_is_scored_on_the_questions_of_its_number_of_facts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The embedded model, which is known to lose facts in the full context and to find them in chunks."""
    monkeypatch.setattr(capacity, "FACTS", (10, 150))
    cells = capacity.examine(Engine.load("tiny", device="cpu"), 20)
    shares = {(cell.method, cell.facts): cell.hits / cell.n for cell in cells}
    assert [cell.n for cell in cells] == [14] * 4
    assert min(shares["full", 10], shares["oprm", 10], shares["oprm", 150]) > 0.7 > shares["full", 150] + 0.1


def test_the_program_trains_a_size_in_a_process_of_its_own(tmp_path: Path) -> None:
    assert capacity.main(["--state", "4", "--steps", "1", "--samples", "1", "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "capacity.csv", "capacity.md", "capacity.png", "state-4", "study.json",
    }  # fmt: skip
    kept = capacity.measured(Study(tmp_path, 0, 1, 1), 4)
    assert kept
    assert kept.tokens > capacity.TOKENS_PER_STEP


def test_a_study_that_was_measured_is_only_written_again(
    quick: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [capacity.measure(quick, state) for state in (4, 8)]
    assert [one.numbers for one in found] == [2 * 128 * 4, 2 * 128 * 8]
    assert all(cell.n == 1 for one in found for cell in one.cells)
    monkeypatch.setattr(capacity, "spawned", lambda *_: nullcontext())  # a pool that takes no work
    arguments = f"--state 8,4 --steps 2 --samples 1 --out {quick.out}".split()
    assert capacity.main(arguments) == 0
    page = capsys.readouterr().out
    assert page == (quick.out / "capacity.md").read_text()
    assert "| 4 | `oprm` |" in page
    assert "| 8 | 2,048 |" in page
    assert "trained and evaluated in" in page
    assert (quick.out / "capacity.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((quick.out / "capacity.csv").open()))
    assert [(row["state"], row["method"], row["facts"]) for row in rows[:3]] == [
        ("4", "full", "4"), ("4", "full", "16"), ("4", "oprm", "4"),
    ]  # fmt: skip
    assert len(rows) == 8


def test_a_stopped_size_goes_on_where_it_stood_and_more_questions_need_no_new_training(quick: Study) -> None:
    stopped = capacity.start(quick, 4)
    stopped.train_step()
    stopped.save()
    again = capacity.start(quick, 4)
    again.resume()
    assert (again.step, again.tokens) == (1, stopped.tokens)
    first = capacity.measure(quick, 4)
    larger = Study(quick.out, quick.seed, quick.steps, samples=3)
    assert capacity.measured(larger, 4) is None
    second = capacity.measure(larger, 4)
    assert (second.tokens, second.training) == (first.tokens, first.training)
    assert capacity.measured(larger, 4) == second
    assert second.cells[0].n > first.cells[0].n


def test_a_folder_of_another_study_is_refused_in_one_line_and_nothing_is_trained(
    quick: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capacity.claim(quick)
    monkeypatch.setattr(capacity, "spawned", None)
    assert capacity.main(f"--steps 3 --out {quick.out}".split()) == 2
    line = capsys.readouterr().err
    assert "was made with --seed 0 --steps 2; use those, or another --out" in line
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--state 6", "--state 6: expected different multiples of 4"),
        ("--state 4,x", "--state 4,x: expected"),
        ("--state 8,8", "--state 8,8: expected different"),
        ("--state 0", "--state 0: expected"),
        ("--samples 0", "expected at least 1 of each"),
        ("--steps 0", "expected at least 1 of each"),
    ],
)
def test_a_wrong_value_is_one_line_and_nothing_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: str,
    words: str,
) -> None:
    monkeypatch.setattr(capacity, "spawned", None)
    assert capacity.main([*flags.split(), "--out", str(tmp_path / "out")]) == 2
    line = capsys.readouterr().err
    assert words in line
    assert line.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_unknown_flag_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        capacity.main(["--stat", "4"])
    assert capsys.readouterr().err.count("\n") == 1


def test_the_table_has_points_with_intervals_and_says_which_reader_did_not_bind() -> None:
    page = capacity.markdown([size(4, 20, 100, rung=capacity.BINDING - 1), size(8, 100, 200)])
    assert "| 4 | `full` | 10 [7, 15] |" in page  # 20 of 200: Wilson, as statsmodels gives it
    assert "| 8 | `oprm` | 100 [98, 100] |" in page
    assert "| 4 | 1,024 | 130,000 | not bound | 240 | 30 |" in page
    assert "| 8 | 2,048 | 130,000 | 9 of 13 | 240 | 30 |" in page


def test_the_csv_holds_every_cell_with_its_interval(tmp_path: Path) -> None:
    capacity.write_csv([size(4, 20, 100)], tmp_path / "c.csv")
    rows = list(csv.DictReader((tmp_path / "c.csv").open()))
    assert list(rows[0].values()) == ["4", "full", "4", "200", "10.00", "6.57", "14.94"]
    assert len(rows) == 2 * len(capacity.FACTS)


def test_the_same_study_draws_the_same_picture(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        capacity.draw([size(4, 20, 100), size(8, 100, 190, rung=0)], tmp_path / name)
    one, two = ((tmp_path / name).read_bytes() for name in ("one.png", "two.png"))
    assert one == two


def test_a_run_with_other_steps_is_refused_by_its_checkpoint(quick: Study) -> None:
    capacity.start(quick, 4).save()
    other = capacity.start(Study(quick.out, 0, 3, 1), 4)
    with pytest.raises(learning.CheckpointError, match="--seed 0 --steps 2"):
        other.resume()
