"""Recipes for the paper's tables resolve, and a dry run prints their grid: ``pytest tests/test_recipes.py``."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

import run_compare
from comparison import plan
from models import efficiency

FOLDER = Path(__file__).parents[1] / "recipes"
EFFICIENCY = FOLDER / "efficiency.toml"  # of a program of its own
RECIPES = sorted(
    path for path in FOLDER.glob("*.toml") if path != EFFICIENCY and not path.stem.startswith("demo")
)
NAMES = [recipe.stem for recipe in RECIPES]
EACH = pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
LONGBENCH = re.compile(r"longbench(_e)?:tasks=([\w;-]+)")


def test_the_papers_tables_have_their_recipes():
    expected = {
        "context-extension",
        "rag-table",
        "multihop",
        "associative-recall",
        "needle",
        "longbench",
        "longbench-v2",
        "infinitebench",
    }
    assert expected <= set(NAMES)
    assert EFFICIENCY.is_file()


def test_the_efficiency_recipes_dry_run_prints_the_papers_cells(capsys):
    assert efficiency.main(["--config", str(EFFICIENCY), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "reader  falcon3-mamba-7b-instruct, chunks of 2000 tokens" in said
    lengths = [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) tokens: full, oprm", said)]
    assert lengths == [2000, 4000, 8000, 16000, 32000, 64000, 128000]


@EACH
def test_every_name_and_option_of_a_recipe_resolves(recipe):
    planned = plan.make_plan(plan.read_config(recipe))
    names = {method.name for method in planned.methods}
    assert planned.baseline == "full"
    # What no table should go without: a cut context, and what the question alone is worth.
    assert {"full", "truncate", "closed_book", "random_chunk", "oprm", "rag"} <= names
    assert planned.out.parts[0] == "runs"


def test_recipes_write_to_run_folders_of_their_own():
    folders = [tomllib.loads(recipe.read_text(encoding="utf-8"))["out"] for recipe in RECIPES]
    assert len(set(folders)) == len(folders)


@EACH
def test_the_methods_of_a_recipe_that_pick_one_chunk_pick_it_of_one_size(recipe):
    """Or a longer chunk, and not the method, would make the difference."""
    planned = plan.make_plan(plan.read_config(recipe))
    sizes = {method.settings["chunk_size"] for method in planned.methods if method.name == "random_chunk"}
    for name in ("oprm", "rag"):
        assert sizes <= {method.settings["chunk_size"] for method in planned.methods if method.name == name}


@EACH
def test_a_recipes_dry_run_prints_its_grid(recipe, tmp_path, capsys):
    """On small files of the benchmarks' formats; whatever is generated is what the recipe asks for."""
    settings = tomllib.loads(recipe.read_text(encoding="utf-8"))
    write_data(tmp_path, settings["benchmark"])
    folders = ["--data-dir", str(tmp_path), "--out", str(tmp_path / "run")]
    status = run_compare.main(["--config", str(recipe), "--dry-run", *folders])
    said = capsys.readouterr()
    assert status == 0, said.err
    assert re.search(r"total +\d+ methods x \d+ tasks: \d", said.out)
    assert not (tmp_path / "run").exists()


def write_data(folder: Path, specs: list[str]) -> None:
    text = " ".join(f"Sentence {i} of a text." for i in range(40))
    for spec in specs:
        if match := LONGBENCH.match(spec):
            for task in match[2].split(";"):
                row = {"input": "Paragraph 1", "context": text, "answers": ["Paragraph 1"], "length": 200}
                row |= {"dataset": task, "language": "en", "all_classes": ["Paragraph 1"], "_id": "1"}
                write_lines(folder / "longbench" / f"{task}{match[1] or ''}.jsonl", [row])
        elif spec.startswith("longbench_v2"):
            row = {"_id": "1", "domain": "d", "sub_domain": "s", "difficulty": "easy", "length": "short"}
            row |= {"question": "Which?", "answer": "A", "context": text}
            row |= {f"choice_{letter}": letter.lower() for letter in "ABCD"}
            path = folder / "longbench_v2" / "data.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps([row]), encoding="utf-8")
        elif spec.startswith("infinitebench"):
            for task in re.findall(r"tasks=([\w;]+)", spec)[0].split(";"):
                row = {"id": 1, "context": text, "input": "Which?", "answer": ["one"]}
                row["options"] = ["one", "two", "three", "four"] if "choice" in task else []
                write_lines(folder / "infinitebench" / f"{task}.jsonl", [row])
        elif name := re.match("hotpotqa|musique|2wikimqa", spec):
            rows = [musique_row(i) if name[0] == "musique" else hotpot_row(i) for i in range(60)]
            write_lines(folder / "multihop" / f"{name[0]}.jsonl", rows)


def hotpot_row(number: int) -> dict:
    context = [[f"Title {number}-{i}", [f"This sentence is in paragraph {i}. "] * 10] for i in range(4)]
    row = {"_id": str(number), "question": "Which?", "answer": "one", "type": "bridge", "context": context}
    return row | {"supporting_facts": [[f"Title {number}-0", 0], [f"Title {number}-2", 1]]}


def musique_row(number: int) -> dict:
    paragraphs = [
        {"idx": i, "title": title, "paragraph_text": " ".join(texts), "is_supporting": i in (0, 2)}
        for i, (title, texts) in enumerate(hotpot_row(number)["context"])
    ]
    row = {"id": f"2hop__{number}", "question": "Which?", "answer": "one", "answer_aliases": []}
    return row | {"answerable": True, "paragraphs": paragraphs}


def write_lines(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
