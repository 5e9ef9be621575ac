"""The page: self-contained, deaf to hostile text, bounded, and looked at in a real browser where there is one."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from fake_run import SMALL, FakeRun, FakeTask, Row
from html_tags import tags_of

from reports import html_page
from reports.collect import read_run
from reports.examples import Said, Shown
from reports.page import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = "</script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">&amp;"
LABEL = "oprm:x=\"><svg onload=document.title='pwned'>"
TASK = "t</script>'\"><b>{{1}}"


def edit(row: Row) -> Row:
    hostile = row["method"] == LABEL and row["example"][-1] in "05"
    return row | ({"prediction": EVIL, "score": 0.0} if hostile else {})


HOSTILE: FakeRun = replace(
    SMALL,
    methods=(("full", False), (LABEL, False)),
    tasks=(FakeTask(TASK, (("10<i>", {}), ("20", {})), 25),),
    edit=edit,
    skill=lambda *_: 2.0,
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(SMALL.write(tmp_path_factory.mktemp("html") / "run")).with_name("report.html")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(HOSTILE.write(tmp_path_factory.mktemp("html") / "evil")).with_name("report.html")


def data_of(page: Path) -> dict:
    text = page.read_text(encoding="utf-8")
    return json.loads(text.split('<script type="application/json" id="examples">')[1].split("</script>")[0])


def test_the_page_loads_nothing_and_its_policy_forbids_it(page):
    text = page.read_text(encoding="utf-8")
    sources = [value for _, each in tags_of(text) for name, value in each.items() if name in ("src", "href")]
    assert sources
    assert all(str(value).startswith(("data:", "#")) for value in sources)
    assert "default-src 'none'" in text
    assert "unsafe" not in text
    assert not re.search(r"https?://", text)


def test_the_page_has_every_table_and_picture_of_the_report(page):
    text, report = page.read_text(encoding="utf-8"), page.with_name("report.md").read_text(encoding="utf-8")
    assert text.count("<table>") == report.count("| ---: |\n")
    assert text.count("<img ") == report.count("![")
    assert text.count("Signature: ") == report.count("Signature: ")
    images = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    files = {path.read_bytes() for path in page.parent.glob("*.png")}
    assert {base64.b64decode(image) for image in images} == files


def test_every_score_leads_to_its_questions(page):
    links = [
        each["href"] for tag, each in tags_of(page.read_text(encoding="utf-8")) if each.get("class") == "cell"
    ]
    assert "#" + urlencode({"method": "oprm", "task": "recall", "bucket": "100"}) in links
    assert "#" + urlencode({"method": "oprm", "task": "macro", "bucket": "all"}) in links


def test_the_data_hold_what_every_method_said_and_picked(page):
    data = data_of(page)
    assert (data["methods"][1], data["baseline"]) == ("oprm", "full")
    recall = next(task for task in data["tasks"] if task["name"] == "recall")
    assert (recall["total"], len(recall["examples"]), recall["mean"]) == (60, 60, True)
    run = read_run(page.parent)
    for example in recall["examples"]:
        record = run.answers("oprm", "recall")[example["id"]]
        assert example["said"][1][:2] == [record.score, record.prediction]
        assert example["said"][1][2].startswith("characters ")
        assert example["question"] == "Where is the office of Alden?"


def test_hostile_text_becomes_no_tag_no_attribute_and_no_script(page, hostile):
    text = hostile.read_text(encoding="utf-8")
    kinds = {tag for tag, _ in tags_of(page.read_text(encoding="utf-8"))}
    found = tags_of(text)
    assert {tag for tag, _ in found} <= kinds
    assert sum(tag == "script" for tag, _ in found) == 2
    assert not any(name.startswith("on") for _, each in found for name in each)
    said = data_of(hostile)["tasks"][0]["examples"][0]["said"][1]
    assert EVIL.startswith(said[1].rstrip(" …"))
    assert not set("<>&") & set(html_page._data(read_run(hostile.parent)))
    assert data_of(hostile)["tasks"][0]["name"] == TASK


def test_no_control_character_and_none_that_turns_a_line_reaches_the_page():
    assert html_page._text("a\u202eb\x00c<&") == "a b c&lt;&amp;"


def shown(name: str, *scores: float) -> Shown:
    said = tuple(Said(str(place), score, "", "", "", "") for place, score in enumerate(scores))
    return Shown("t", name, "b", "", (), (), said)


def test_a_bucket_with_half_a_surrogate_pair_in_its_name_does_not_stop_the_report(tmp_path):
    tasks = (FakeTask("quiz", (("a\ud800", {}), ("b", {})), 3),)
    write_report(replace(SMALL, tasks=tasks, skill=lambda *_: 2.0).write(tmp_path))
    assert "task=quiz&amp;bucket=a%3F" in (tmp_path / "report.html").read_text()


def test_a_page_holds_first_the_questions_on_which_the_methods_differ():
    found = [shown("a", 1, 1), shown("b", 1, 0), shown("c", 0.5, 0.4), shown("d", 0, 0)]
    assert [one.example for one in html_page.most_telling(found, 2)] == ["b", "c"]
    assert [one.example for one in html_page.most_telling(found, 9)] == ["a", "b", "c", "d"]


def test_a_page_of_many_and_long_answers_stays_small(tmp_path, monkeypatch):
    monkeypatch.setattr(html_page, "MOST_EXAMPLES", 30)
    fake = replace(SMALL, edit=lambda row: row | {"prediction": "word " * 5000})
    run = read_run(fake.write(tmp_path))
    content = html_page._content(run)
    assert [(task["total"], len(task["examples"])) for task in content["tasks"]] == [
        (60, 10),
        (24, 10),
        (40, 10),
    ]
    assert len(html_page._data(run)) < 100_000


# --- in a browser


def browse(page: Path, address: str = "") -> str:
    """The page's tree after its script has run."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", "--dump-dom"]
    done = subprocess.run(
        [str(CHROMIUM), *flags, f"file://{page}{address}"], capture_output=True, text=True, timeout=600
    )
    return done.stdout


@pytest.mark.skipif(not CHROMIUM, reason="no chromium here")
def test_a_browser_shows_the_questions_behind_a_number_those_first_on_which_two_methods_differ(hostile):
    address = "#" + urlencode({"method": LABEL, "task": TASK, "bucket": "all"})
    tree = browse(hostile, address)
    assert "<title>tiny: 2 methods on 1 tasks</title>" in tree
    articles = tree.split("<article")[1:]
    assert len(articles) == 20
    assert ["differs" in one.split(">")[0] for one in articles] == [True] * 10 + [False] * 10
    assert "50 questions; on 10 the two methods score differently, and these come first." in tree
    assert "&lt;/script&gt;&lt;script&gt;document.title" in articles[0]
    assert "30" in tree.split("20 more of ")[1][:3]


@pytest.mark.skipif(not CHROMIUM, reason="no chromium here")
def test_a_browser_takes_an_answer_that_counts_in_no_mean_for_no_difference(tmp_path):
    def undefined(row: Row) -> Row:
        gone = row["method"] == "oprm" and int(row["example"][-2:]) < 20
        return row | ({"error": "undefined: not in the import", "score": 0.0} if gone else {"score": 1.0})

    fake = replace(SMALL, methods=SMALL.methods[:2], tasks=SMALL.tasks[:1], edit=undefined)
    html = write_report(fake.write(tmp_path)).with_name("report.html")
    assert {example["said"][1][0] for example in data_of(html)["tasks"][0]["examples"]} == {None, 1}
    tree = browse(html, "#" + urlencode({"method": "oprm", "task": "recall", "bucket": "10"}))
    assert "30 questions; on 0 the two methods score differently" in tree
    assert 'class="differs"' not in tree
    assert tree.count('<td>–</td><td><span class="quiet">undefined: not in the import</span></td>') == 10


SORT = """<script>
const header = Array.from(document.querySelectorAll("th")).find((one) => one.textContent.startsWith("HEADING"));
const rows = header.closest("table").tBodies[0].rows;
const column = () => Array.from(rows, (row) => row.cells[header.cellIndex].textContent);
header.querySelector("button").click(); const falling = column();
header.querySelector("button").click(); const rising = column();
document.body.dataset.found = JSON.stringify([falling, rising, header.getAttribute("aria-sort")]);
</script>"""


def found_by(script: str, page: Path, folder: Path, address: str = "") -> Any:
    """What a script of the test finds on the page."""
    # The page's own policy would not let it run.
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8"))
    (folder / "p.html").write_text(text.replace("</body>", f"{script}</body>"), encoding="utf-8")
    found = re.search(r'data-found="([^"]*)"', browse(folder / "p.html", address))
    assert found
    return json.loads(unescape(found[1]))


def sorted_by(heading: str, page: Path, folder: Path) -> tuple[list[str], list[str], str]:
    """A column after one click on its heading and after two, and the state that the heading then tells."""
    return found_by(SORT.replace("HEADING", heading), page, folder)


@pytest.mark.skipif(not CHROMIUM, reason="no chromium here")
def test_a_browser_sorts_a_table_by_its_numbers(page, tmp_path):
    falling, rising, state = sorted_by("recall", page, tmp_path)
    numbers = [float(text.split()[0].replace("\u2212", "-")) for text in falling]
    assert numbers == sorted(numbers, reverse=True)
    assert falling == rising[::-1]
    assert state == "ascending"


@pytest.mark.skipif(not CHROMIUM, reason="no chromium here")
def test_a_browser_sorts_memory_by_its_size_and_not_by_its_unit(tmp_path):
    sizes = {"full": 512 << 20, "oprm": 1200 << 20, "rag:retriever=bm25": 90 << 20, "closed_book": 3 << 30}

    def using(row: Row) -> Row:
        return row | {"cost": row["cost"] | {"peak_bytes": sizes[row["method"]]}}

    html = write_report(replace(SMALL, tasks=SMALL.tasks[:1], edit=using).write(tmp_path)).with_name(
        "report.html"
    )
    falling, rising, _ = sorted_by("peak memory", html, tmp_path)
    assert falling == ["3.0 GiB", "1.2 GiB", "512 MiB", "90 MiB"]
    assert rising == falling[::-1]


@pytest.mark.skipif(not CHROMIUM, reason="no chromium here")
def test_a_browser_keeps_dashes_last_whichever_way_a_column_is_turned(page, tmp_path):
    falling, rising, _ = sorted_by("retrieval", page, tmp_path)
    assert falling == rising == ["20 %", "–", "–", "–"]


WALK = """<script>
const panelOf = (selector) => Array.from(document.querySelectorAll("#drill " + selector));
const shownNow = () => panelOf("article header code").map((one) => one.textContent);
const [method, against, task, bucket] = panelOf("select");
const found = { note: panelOf("p.note")[0].textContent, first: shownNow(),
  buckets: Array.from(bucket.options, (one) => one.value) };
const more = panelOf("button").at(-1);
more.click(); found.second = shownNow();
more.click(); found.third = shownNow();
found.hidden = more.hidden;
const choose = (list, value) => { list.value = value; list.dispatchEvent(new Event("change")); };
choose(bucket, "short"); found.narrow = location.hash;
choose(task, "quiz_absent"); found.other = location.hash;
document.body.dataset.found = JSON.stringify(found);
</script>"""


@pytest.mark.skipif(not CHROMIUM, reason="no chromium here")
def test_a_browser_walks_through_the_questions_of_a_mean_bucket_by_bucket_and_task_by_task(tmp_path):
    cells = (("long", {}), ("short", {}), ("medium", {}))
    tasks = (FakeTask("quiz", cells[:2], 25), FakeTask("quiz_absent", cells[2:], 25, confirmatory=False))
    html = write_report(replace(SMALL, tasks=tasks, skill=lambda *_: 0.5).write(tmp_path))
    address = "#" + urlencode({"method": "oprm", "task": "macro", "bucket": "all"})
    found = found_by(WALK, html.with_name("report.html"), tmp_path, address)
    assert found["note"].startswith("50 questions;")  # none of the unanswerable ones
    assert found["buckets"] == ["all", "short", "long"]
    assert [len(found[name]) for name in ("first", "second", "third")] == [20, 40, 50]
    assert len(set(found["third"])) == 50
    assert found["third"][:40] == found["second"]
    assert found["hidden"]
    assert "bucket=short" in found["narrow"]
    assert found["other"] == "#method=oprm&versus=full&task=quiz_absent&bucket=all"
