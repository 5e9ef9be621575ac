"""How tables are written: markup, numbers, and files that a spreadsheet opens."""

from __future__ import annotations

import csv
import io
import re

import pytest

from reports.tables import (
    Cell,
    Table,
    csv_text,
    interval,
    markdown,
    memory,
    number,
    p_value,
    plain,
    points,
)


def body(cell: Cell | str) -> list[str]:
    """The cells of the only row of a table, as GitHub would split it."""
    text = markdown(Table("t", ["a", "b"], [[cell, "end"]], "`s`"))
    row = text.split("\n")[4]
    return [part.strip() for part in re.split(r"(?<!\\)\|", row)[1:-1]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<script>", r"\<script>"),
        ("**loud**", r"\*\*loud\*\*"),
        ("[click](http://x)", r"[click\](http\://x)"),
        ("see www.x.org: &lt; \x1b[2J\u202e.", r"see www\.x.org: \&lt; [2J ."),
        ("two\nlines", "two lines"),
        ("+3.0 [+1.0, +5.0]", "+3.0 [+1.0, +5.0]"),
    ],
)
def test_markup_in_text_is_shown_and_not_obeyed(text, expected):
    assert plain(text) == expected


def test_bold_stays_inside_its_marks_and_the_arrow_outside():
    assert body(Cell("97.3 ± 1.8", strong=True, after="▲"))[0] == "**97.3 ± 1.8** ▲"


def test_a_table_has_its_title_rules_notes_and_signature():
    table = Table("Title", ["method", "x"], [["a", "1"]], "`line`", notes=["Read it so."])
    lines = ["## Title", "", "| method | x |", "| :--- | ---: |", "| a | 1 |", "", "Read it so.", ""]
    assert markdown(table) == "\n".join([*lines, "<sub>Signature: `line`</sub>", ""])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("-3.5", "-3.5"),
        (-3.5, "-3.5"),
        (-3, "-3"),
        ("plain", "plain"),
        ("a=b", "a=b"),
        (None, ""),
        (float("nan"), ""),
        (100 * 0.921, "92.1"),
        (1 / 3, "0.333333333333"),
    ],
)
def test_a_csv_value_is_exact_and_never_a_formula(value, expected):
    rows = csv.reader(io.StringIO(csv_text(["x", "y"], [[value, "end"]])))
    assert list(rows)[1] == [expected, "end"]


def test_numbers_are_rounded_signed_and_never_minus_zero():
    assert points(0.9234) == "92.3"
    assert points(-0.0321, signed=True) == "\u22123.2"
    assert points(0.0321, signed=True) == "+3.2"
    assert points(-0.00001, signed=True) == "0.0"
    assert number(None, 1) == number(float("nan"), 1) == "–"
    assert interval(-0.01, 0.02, signed=True) == "[\u22121.0, +2.0]"
    assert interval(float("nan"), float("nan")) == "–"


def test_p_values_and_memory_are_short():
    assert (p_value(0.04138), p_value(1 / 10_001), p_value(1e-9), p_value(None)) == (
        "0.0414",
        "0.0001",
        "< 0.0001",
        "–",
    )
    assert (memory(0), memory(300 << 20), memory(3 << 30)) == ("–", "300 MiB", "3.0 GiB")
