"""Hostile text in every writer of a report: shown, and not obeyed by markdown, TeX, spreadsheet, page or terminal."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from fake_run import FakeRun, FakeTask, change_examples, change_plan
from html_tags import tags_of
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reports import html_page
from reports.__main__ import main as make_reports
from reports.latex import escape, latex
from reports.page import write_report
from reports.tables import Cell, Table, code, csv_text, markdown, plain

STEADY = settings(derandomize=True, deadline=None, max_examples=300)
PIECES = (
    *r"| ` `` \ <script> </script> &lt; <!-- [x](http://evil) ![x](http://evil) http://evil.example".split(),
    *r"www.evil.example ** __ ~~ $ % # _ { } ^ \input{/etc/passwd} \end{table} =1+1 +1 -1 @SUM(A1) ＝1".split(),
    *r"../ /etc/passwd C:\ NUL 😀 é ; , ( ) {question} {clause} ${jndi:x} %s {0.__class__}".split(),
    *("\n", "\r", "\t", "\x00", "\x1b[2J", "\x1b]0;title\x07", "\u202e", "\u2028", "\x9b31m", '"', "'"),
    *("<img src=x onerror=a()>", "| --- |", "- ", "# ", "1. "),
)
HOSTILE = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=6).map("".join)


def without_code(text: str) -> str:
    """Markdown without its code spans, in which nothing is markup."""
    return re.sub(r"(?<!\\)`[^`\n]*`", "", text)


def assert_plain_markdown(text: str) -> None:
    """No tag, link, picture, entity or control character is left outside of a code span, and none within."""
    assert all(character.isprintable() for character in text.replace("\n", ""))
    bare = re.sub(r"\\[!-/:-@\[-`{-~]", "", without_code(text))
    for markup in (r"<(?!/?sub>)", r"\]\(", r"`", r"://", r"www\.", r"&(#|\w)", r"\*\*.*\n.*\*\*"):
        assert not re.search(markup, bare), (markup, text)


def columns(line: str) -> int:
    """How many cells a markdown row has: GitHub cuts at every bar that no backslash stands before, however many do."""
    return len(re.findall(r"(?<!\\)\|", line)) - 1


@STEADY
@given(HOSTILE, HOSTILE, HOSTILE)
@example("", "\\|", "")
def test_hostile_text_stays_one_cell_of_a_markdown_table(one, two, three):
    table = Table("t", ["a", one], [[Cell(two, code=True), Cell(three, strong=True, after=one)]], code(two))
    text = markdown(table)
    rows = [line for line in text.split("\n") if line.startswith("|")]
    assert [columns(row) for row in rows] == [2, 2, 2]
    assert len(text.split("\n")) == len(markdown(Table("t", ["a", "b"], [["c", "d"]], "`s`")).split("\n"))
    assert_plain_markdown(plain(one))
    assert_plain_markdown(code(two))
    assert re.fullmatch(r"`[^`\n]+`", code(two))


@STEADY
@given(HOSTILE, HOSTILE)
def test_hostile_text_is_nothing_that_tex_obeys(one, two):
    ours = r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar|textquotedbl|S)\{\}"
    signs = r"\$(\\pm|\\times|\\Delta|\\blacktriangle(down)?|\\cdot|\\rightarrow|-)\$"
    for text in (escape(one), escape(two)):
        left = re.sub(rf"{ours}|{signs}|\\[&%$#_{{}}]", "", text)
        assert not set(left) & set("\\{}$&#^_%"), text
        assert "\n" not in text
    whole = latex(Table(code(one), [one, two], [[Cell(one, code=True), two]], code(two), [code(one)]))
    assert whole.count("\\begin{table}") == whole.count("\\end{table}") == 1
    assert whole.count("\\\\\n") == 2


@STEADY
@given(st.lists(HOSTILE, min_size=1, max_size=4))
def test_hostile_text_is_no_formula_of_a_spreadsheet(texts):
    text = csv_text(["h"] * len(texts), [texts])
    _, found = csv.reader(io.StringIO(text, newline=""))
    assert [cell.removeprefix("'") for cell in found] == [text.removeprefix("'") for text in texts]
    assert not [cell for cell in found if is_formula(cell)]
    assert all(cell == text or begins_formula(text) for cell, text in zip(found, texts, strict=True))


def begins_formula(cell: str) -> bool:
    return bool(re.match(r"[=+\-@\t\r\n＝＋－＠]", cell))


def is_formula(cell: str) -> bool:
    return begins_formula(cell) and not re.fullmatch(r"[+-](\d+\.?\d*(e[+-]?\d+)?|inf|nan)", cell)


@STEADY
@given(HOSTILE)
def test_hostile_text_is_no_tag_of_a_page(text):
    def tags(shown: str) -> list[tuple[str, list[str]]]:
        table = Table(
            code(shown),
            ["a", shown],
            [[Cell(shown, code=True, about=(shown, shown, shown)), shown]],
            code(shown),
        )
        found = tags_of(html_page._table(table, code(shown), True))
        return [(tag, sorted(attributes)) for tag, attributes in found]

    assert tags(text) == tags("x")


EVIL = "a|b `c` <script>alert(1)</script> ![p](http://evil.example) www.evil.org &lt; \x1b[31m\u202e$x_1$ \\input{x}"


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """The whole report of a run in which every text that comes from outside is hostile."""

    def edit(row: dict) -> dict:
        failed = row["method"] != "full" and row["example"].endswith("3")
        return row | {
            "prediction": f"={EVIL}",
            "error": f"ValueError: {EVIL}" if failed else None,
            "details": {EVIL: EVIL},
        }

    fake = FakeRun(
        methods=(("full", False), (f"=oprm{EVIL}", False), (f"@control{EVIL}", True)),
        tasks=(
            FakeTask(f"-task{EVIL}", ((f"+1{EVIL}", {EVIL: EVIL}), ("=2", {})), 22),
            FakeTask("plain", (("1", {}),), 22),
        ),
        skill=lambda method, *_: 0.9 if method == "full" else 0.5,
        edit=edit,
        settings={"revision": EVIL, "device": EVIL},
        left_out={"plain": (f"file.jsonl:3: {EVIL}",)},
    )
    folder = fake.write(tmp_path_factory.mktemp("evil") / "run")
    for path in folder.glob("examples/*.jsonl"):
        change_examples(path, lambda row: row | {"question": EVIL, "answers": [EVIL]})
    change_plan(folder, command=EVIL, versions={EVIL: EVIL})
    write_report(folder)
    return folder


def test_a_report_of_hostile_texts_is_sound_markdown(report):
    text = (report / "report.md").read_text(encoding="utf-8")
    assert_plain_markdown(re.sub(r"(?m)^!\[[^\]]*\]\(\w+\.png\)$|\[\w+\.csv\]\(\w+\.csv\)", "", text))
    width = 0
    for line in text.split("\n"):
        width = (width or columns(line)) if line.startswith("|") else 0
        assert not width or columns(line) == width, line


def test_a_report_of_hostile_texts_has_no_formula_in_its_csv_files(report):
    files = sorted(report.glob("*.csv"))
    assert {path.name for path in files} >= {"results.csv", "paired.csv", "cost.csv", "selection.csv"}
    for path in files:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        assert {len(row) for row in rows} == {len(rows[0])}, path.name
        assert not [cell for row in rows for cell in row if is_formula(cell)], path.name


def test_a_report_of_hostile_texts_is_whole_latex_json_and_html(report):
    tex = (report / "tables.tex").read_text(encoding="utf-8")
    assert tex.count("\\begin{table}") == tex.count("\\end{table}") > 3
    assert "\\input" not in tex
    assert json.loads((report / "report.json").read_text())["schema"] == 1
    page = (report / "report.html").read_text(encoding="utf-8")
    tags = tags_of(page)
    assert [set(attributes) for tag, attributes in tags if tag == "script"] == [{"id", "type"}, set()]
    assert all(set(attributes) == {"alt", "src"} for tag, attributes in tags if tag == "img")
    assert "alert(1)</script>" not in page


def test_no_answer_steers_the_terminal_that_shows_it(report, capsys):
    run = json.loads(next((report / "examples").glob("*.jsonl")).read_text().splitlines()[0])
    assert make_reports(["show", str(report), "--example", run["id"]]) == 0
    out = capsys.readouterr().out
    assert "www.evil" in out
    assert all(character.isprintable() or character == "\n" for character in out)
    assert make_reports(["show", str(report), "--example", "\x1b[31m"]) == 2
    assert capsys.readouterr().err.replace("\n", "").isprintable()
