"""The report as one page, ``report.html``: tables that sort, pictures inside it, and the questions behind every
number. It loads nothing: style, script, pictures and data are in the file, and a content policy forbids the
rest, so that no text of a run can run or fetch anything.

Exercised by ``python -m reports RUN_DIR``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from reports.collect import MACRO, Run
from reports.content import Figure, Page, Section
from reports.examples import Said, Shown, examples
from reports.markup import items, pieces, words
from reports.tables import Cell, Row, Table, csv_text

MOST_EXAMPLES = 1500
"""Questions that a page holds, over all tasks: with eight methods about 4 MB."""
LONGEST = {"question": 500, "answer": 120, "said": 300, "error": 160, "picked": 120, "beside": 140}
"""Characters of each text that a page holds; the record has it whole."""
_HERE = Path(__file__).parent
_TAGS = {"code": "code", "strong": "strong", "text": ""}


def html_page(page: Page, folder: Path, run: Run | None = None) -> str:
    """The page as HTML. Pictures are read from `folder`; `run` holds the questions (None: no way to them)."""
    style, script = (_asset(name) for name in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    links = " ".join(f'<a href="#s{n}">{_text(words(one.title))}</a>' for n, one in enumerate(page.every))
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(words(page.title))}</title>\n<style>{style}</style>\n</head>\n<body>",
        f"<h1>{_inline(page.title)}</h1>\n{_summary(page.summary)}\n<nav>{links}</nav>",
        *(_section(section, number, folder, run is not None) for number, section in enumerate(page.every)),
        '<section id="drill" class="drill" hidden></section>',
        f'<script type="application/json" id="examples">{_data(run)}</script>',
        f"<script>{script}</script>\n</body>\n</html>\n",
    ]
    return "\n".join(parts)


def _summary(text: str) -> str:
    return "\n".join(f'<p class="summary">{_inline(paragraph)}</p>' for paragraph in text.split("\n\n"))


def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _section(section: Section, number: int, folder: Path, linked: bool) -> str:
    parts = [f'<section id="s{number}">\n<h2>{_inline(section.title)}</h2>']
    parts += [_table(table, "" if section.alone else table.title, linked) for table in section.tables]
    parts += [_figure(figure, folder) for figure in section.figures]
    if section.lines:
        parts.append(_list(section.lines))
    return "\n".join([*parts, "</section>"])


def _table(table: Table, title: str, linked: bool) -> str:
    parts = [f"<h3>{_inline(title)}</h3>"] if title else []
    head = "".join(
        f"<th{_name(table, i)}><button>{_cell(cell)}</button></th>" for i, cell in _cells(table.header)
    )
    parts += ['<div class="scroll"><table>', f"<thead><tr>{head}</tr></thead>", "<tbody>"]
    for row in table.rows:
        body = (f"<td{_name(table, i)}>{_linked(cell, linked)}</td>" for i, cell in _cells(row))
        parts.append(f"<tr>{''.join(body)}</tr>")
    parts.append("</tbody></table></div>")
    parts += [_note(note) for note in table.notes]
    return "\n".join([*parts, f'<p class="signature">Signature: {_inline(table.signature)}</p>'])


def _cells(row: Row) -> Iterator[tuple[int, Cell]]:
    for place, cell in enumerate(row):
        yield place, Cell(cell) if isinstance(cell, str) else cell


def _name(table: Table, place: int) -> str:
    return ' class="name"' if place < table.names else ""


def _linked(cell: Cell, linked: bool) -> str:
    """The cell, leading to its questions where it sums some up."""
    if not (linked and cell.about):
        return _cell(cell)
    about = dict(zip(("method", "task", "bucket"), cell.about, strict=True))
    address = urlencode(about, errors="replace")  # half a surrogate pair has no UTF-8
    return f'<a class="cell" href="#{escape(address)}">{_cell(cell)}</a>'


def _cell(cell: Cell) -> str:
    text = f"<code>{_text(cell.text)}</code>" if cell.code else _text(cell.text)
    text = f"<strong>{text}</strong>" if cell.strong else text
    return f"{text} {_text(cell.after)}" if cell.after else text


def _note(note: str) -> str:
    found = items(note)
    return _list(found) if found else f'<p class="note">{_inline(note)}</p>'


def _list(lines: Iterable[str]) -> str:
    return f'<ul class="note">{"".join(f"<li>{_inline(line)}</li>" for line in lines)}</ul>'


def _figure(figure: Figure, folder: Path) -> str:
    picture = figure.picture
    image = base64.b64encode((folder / picture.name).read_bytes()).decode()
    data = base64.b64encode(csv_text(picture.header, picture.rows).encode()).decode()
    name = escape(picture.data_name)
    link = f'<a download="{name}" href="data:text/csv;base64,{data}">{name}</a>'
    return (
        f'<figure><img alt="{escape(picture.title)}" src="data:image/png;base64,{image}">\n'
        f"<figcaption><strong>{_text(picture.title)}.</strong> {_inline(picture.caption)} Data: {link}"
        f'<div class="signature">Signature: {_inline(figure.signature)}</div></figcaption></figure>'
    )


def _inline(text: str) -> str:
    """A text in our markup, everything in it escaped."""
    tagged = ((_TAGS[kind], _text(part)) for kind, part in pieces(text))
    return "".join(f"<{tag}>{part}</{tag}>" if tag else part for tag, part in tagged)


def _text(text: str) -> str:
    """Untrusted text: no tag, no entity, no control character, nothing that turns the direction of a line."""
    return escape("".join(c if c.isprintable() else " " for c in text))


# --- the questions


def _data(run: Run | None) -> str:
    """The questions as JSON that no HTML parser takes for anything else."""
    content = _content(run) if run else {"methods": [], "baseline": "", "tasks": []}
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return re.sub("[<>&]", lambda found: f"\\u{ord(found[0]):04x}", text)


def _content(run: Run) -> dict[str, Any]:
    methods = [method.label for method in run.methods]
    each = max(1, MOST_EXAMPLES // len(run.tasks))
    tasks = []
    for task in run.tasks:
        found = list(examples(run, task.name))
        tasks.append(
            {
                "name": task.name,
                "mean": task.confirmatory,
                "buckets": run.buckets[task.name],
                "total": len(found),
                "examples": [_example(one, methods) for one in most_telling(found, each)],
            }
        )
    return {"baseline": run.baseline, "macro": MACRO, "methods": methods, "tasks": tasks}


def most_telling(found: Sequence[Shown], most: int) -> list[Shown]:
    """At most so many examples, those first on which the methods differ most; in the order of their ids."""
    kept = sorted(found, key=lambda one: -one.spread)[:most]
    return sorted(kept, key=lambda one: one.example)


def _example(one: Shown, methods: Sequence[str]) -> dict[str, Any]:
    said = {each.method: each for each in one.said}
    return {
        "id": one.example,
        "bucket": one.bucket,
        "question": _cut(one.question, "question"),
        "answers": [_cut(answer, "answer") for answer in one.answers[:5]],
        "evidence": [
            (before[-LONGEST["beside"] :], _cut(gold, "question"), after[: LONGEST["beside"]])
            for before, gold, after in one.evidence[:5]
        ],
        "said": [_answer(said[method]) if method in said else None for method in methods],
    }


def _answer(said: Said) -> list[Any]:
    return [
        None if said.score is None else round(said.score, 4),
        _cut(said.text, "said"),
        _cut(said.picked, "picked"),
        _cut(said.error, "error"),
    ]


def _cut(text: str, kind: str) -> str:
    return text if len(text) <= LONGEST[kind] else f"{text[: LONGEST[kind]]} …"
