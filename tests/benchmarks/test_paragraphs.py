"""HotpotQA, MuSiQue and 2Wiki: ``python -m pytest tests/benchmarks/test_paragraphs.py``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.base import TaskSet
from benchmarks.hotpotqa import hotpotqa
from benchmarks.musique import musique
from benchmarks.paragraphs import join_sentences, lay_out
from benchmarks.sources import DataError, HubRows
from benchmarks.wikimqa import wikimqa

SETS: dict[str, Callable[..., list[TaskSet]]] = {
    "hotpotqa": hotpotqa,
    "musique": musique,
    "2wikimqa": wikimqa,
}
REAL = Path(__file__).parents[3] / "shared" / "data"
needs_real = pytest.mark.skipif(not (REAL / "multihop").is_dir(), reason="the real sample is not at hand")


def hotpot_row(number: int, kind: str = "bridge", **changes: Any) -> dict[str, Any]:
    titles = [f"Town {number}", f"River {number}", *(f"Hill {number}-{i}" for i in range(4))]
    context = [[title, [f"{title} is old.", f" {title} has {i} boats."]] for i, title in enumerate(titles)]
    row = {
        "_id": f"id{number}",
        "question": f"How many boats has the river of Town {number}?",
        "answer": "1",
        "type": kind,
        "level": "hard",
        "supporting_facts": [[titles[1], 1], [titles[0], 0]],
        "context": context,
    }
    return row | changes


def musique_row(number: int, **changes: Any) -> dict[str, Any]:
    paragraphs = [
        {
            "idx": i,
            "title": f"Place {number}-{i}",
            "paragraph_text": f"Place {i} of {number} is near.",
            "is_supporting": i in (1, 3),
        }
        for i in range(6)
    ]
    row = {
        "id": f"2hop__{number}",
        "question": "Where?",
        "answer": "Stanley",
        "answer_aliases": ["Port Stanley", "Stanley"],
        "answerable": True,
        "paragraphs": paragraphs,
    }
    return row | changes


def write(folder: Path, name: str, rows: list[Any], ending: str = "jsonl") -> Path:
    (folder / "multihop").mkdir(exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    text = "\n".join(lines) + "\n" if ending == "jsonl" else json.dumps(rows)
    (folder / "multihop" / f"{name}.{ending}").write_text(text, encoding="utf-8")
    return folder


def marked(example: Any) -> list[str]:
    return [example.context[start:end] for start, end in example.evidence]


def test_the_evidence_is_the_supporting_paragraphs_with_their_titles(tmp_path, words):
    (task_set,) = hotpotqa(words, data_dir=write(tmp_path, "hotpotqa", [hotpot_row(1)]))
    (example,) = task_set.examples
    assert example.context.startswith("Town 1\nTown 1 is old. Town 1 has 0 boats.\n\nRiver 1\n")
    assert marked(example) == [
        "Town 1\nTown 1 is old. Town 1 has 0 boats.",
        "River 1\nRiver 1 is old. River 1 has 1 boats.",
    ]
    assert example.answers == ("1",)
    assert (example.bucket, example.tags["level"]) == ("bridge", "hard")
    assert example.length == words(task_set.task.prompt(example.context, example.question))


def test_sentences_can_be_the_evidence_instead(tmp_path, words):
    row = hotpot_row(1, supporting_facts=[["River 1", 1], ["Town 1", 0], ["Town 1", 7], ["Town 1", -1]])
    folder = write(tmp_path, "hotpotqa", [row])
    (example,) = hotpotqa(words, data_dir=folder, evidence="sentences")[0].examples
    assert marked(example) == ["Town 1 is old.", "River 1 has 1 boats."]


def test_the_hubs_dicts_of_lists_are_the_same_examples(tmp_path, words):
    row = hotpot_row(1)
    titles, sentences = zip(*row["context"], strict=True)
    names, numbers = zip(*row["supporting_facts"], strict=True)
    other = {key: value for key, value in row.items() if key != "_id"} | {
        "id": row["_id"],
        "context": {"title": titles, "sentences": sentences},
        "supporting_facts": {"title": names, "sent_id": numbers},
    }
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    (released,) = hotpotqa(words, data_dir=write(one, "hotpotqa", [row]))
    (hub,) = hotpotqa(words, data_dir=write(two, "hotpotqa", [other]))
    assert list(hub.examples) == list(released.examples)


def test_rows_of_the_hub_are_read_and_the_task_has_their_commit(monkeypatch, tmp_path, words):
    rows = HubRows("hotpotqa/hotpot_qa/distractor", "hotpotqa/hotpot_qa@123", [hotpot_row(1), {"id": "bad"}])
    asked = []

    def fetched(*what, looked):
        asked.append((*what, looked))
        return replace(rows, note=looked)

    monkeypatch.setattr("benchmarks.hotpotqa.hub_rows", fetched)
    (task_set,) = hotpotqa(words)
    assert asked == [("hotpotqa/hotpot_qa", "distractor", "validation", "")]
    assert task_set.task.revision == "hotpotqa/hotpot_qa@123"
    assert [example.id for example in task_set.examples] == ["id1"]
    assert list(task_set.left_out) == ["hotpotqa/hotpot_qa/distractor row 2: has no context"]
    (task_set,) = hotpotqa(words, data_dir=tmp_path)
    assert task_set.note == asked[1][-1] == f"{tmp_path}/multihop/hotpotqa.jsonl or .json"


@pytest.mark.parametrize("name", ["hotpotqa", "2wikimqa"])
def test_the_released_list_of_rows_reads_like_lines(tmp_path, words, name):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    rows = [hotpot_row(1), hotpot_row(2)]
    (lines,) = SETS[name](words, data_dir=write(one, name, rows))
    (listed,) = SETS[name](words, data_dir=write(two, name, rows, "json"))
    assert list(listed.examples) == list(lines.examples)


def test_musique_has_its_aliases_its_hops_and_its_supporting_paragraphs(tmp_path, words):
    folder = write(tmp_path, "musique", [musique_row(1, id="3hop2__9_8_7")])
    (example,) = musique(words, data_dir=folder)[0].examples
    assert example.answers == ("Stanley", "Port Stanley")
    assert (example.bucket, example.tags["hops"], example.tags["graph"]) == ("3hop", 3, "3hop2")
    assert marked(example) == [f"Place 1-{i}\nPlace {i} of 1 is near." for i in (1, 3)]


def test_2wiki_takes_the_aliases_and_demonyms_of_the_answers_id(tmp_path, words):
    folder = write(tmp_path, "2wikimqa", [hotpot_row(1, answer_id="Q1"), hotpot_row(2, answer_id="Q2")])
    (plain,) = wikimqa(words, data_dir=folder)
    lines = [
        {"Q_id": "Q1", "aliases": ["one", "1"], "demonyms": ["first"]},
        {"Q_id": "Q2", "aliases": ["uno"]},
        *({"Q_id": "Q3", "aliases": "three"}, {"aliases": ["three"]}),
        {"Q_id": "Q3", "aliases": [], "demonyms": "third"},
    ]
    text = "\n".join(map(json.dumps, lines))
    (folder / "multihop" / "id_aliases.json").write_text(text, encoding="utf-8")
    (task_set,) = wikimqa(words, data_dir=folder)
    assert [example.answers for example in task_set.examples] == [("1", "one", "first"), ("1", "uno")]
    assert [line.partition("id_aliases.json")[2] for line in task_set.left_out] == [
        f":{line}: has no Q_id with lists of aliases and demonyms" for line in (3, 4, 5)
    ]
    assert task_set.task.revision != plain.task.revision


@pytest.mark.parametrize(
    ("name", "row", "why"),
    [
        ("hotpotqa", hotpot_row(2, context=[]), "has no context"),
        (
            "2wikimqa",
            {key: value for key, value in hotpot_row(2).items() if key != "context"},
            "has no context",
        ),
        ("hotpotqa", hotpot_row(2, context="text"), "has str where a list"),
        ("hotpotqa", hotpot_row(2, context=[["Town", "a text"]]), "'Town' is no list of sentences"),
        ("hotpotqa", hotpot_row(2, context=[["Town"]]), "something else than pairs of title and sentences"),
        ("hotpotqa", hotpot_row(2, context={"title": ["Town"], "sentences": []}), "do not go together"),
        ("hotpotqa", hotpot_row(2, supporting_facts=[["Town 2", "0"]]), "has '0' among its supporting_facts"),
        ("hotpotqa", hotpot_row(2, answer=["1"]), "has no answer"),
        ("hotpotqa", hotpot_row(2, question=" "), "has no question"),
        ("hotpotqa", '{"_id": "id2", "question": "torn', "not a whole JSON object"),
        ("musique", musique_row(2, paragraphs=[]), "has no paragraphs"),
        ("musique", musique_row(2, paragraphs=["a text"]), "paragraphs that are no objects"),
        ("musique", musique_row(2, answer_aliases="Stanley"), "answer_aliases that are no list"),
        ("musique", musique_row(2, answerable=False), "is marked unanswerable"),
        ("musique", musique_row(2, id="9"), "does not begin with its hops"),
    ],
)
def test_a_row_that_is_no_question_is_left_out_with_file_line_and_reason(tmp_path, words, name, row, why):
    good = musique_row if name == "musique" else hotpot_row
    folder = write(tmp_path, name, [good(1), row, good(3)])
    (task_set,) = SETS[name](words, data_dir=folder)
    assert len(task_set.examples) == 2
    (line,) = task_set.left_out
    assert f"{name}.jsonl:2: " in line
    assert why in line


def test_a_file_without_any_question_is_an_error_with_the_first_reason(tmp_path, words):
    folder = write(tmp_path, "hotpotqa", [hotpot_row(1, context=[])])
    with pytest.raises(DataError, match=r"the first: .*hotpotqa\.jsonl:1: has no context"):
        hotpotqa(words, data_dir=folder)


def test_2wiki_without_its_file_says_where_to_get_it(tmp_path, words):
    with pytest.raises(DataError, match=r"2wikimqa\.json.*--data-dir"):
        wikimqa(words, data_dir=tmp_path)


@pytest.fixture
def long_folder(tmp_path) -> Path:
    rows = [hotpot_row(i, "comparison" if i % 3 == 0 else "bridge") for i in range(40)]
    return write(tmp_path, "hotpotqa", [*rows, hotpot_row(40, context=[])])


def test_long_versions_fill_their_length_with_whole_paragraphs_and_never_exceed_it(long_folder, any_counter):
    (task_set,) = hotpotqa(any_counter, data_dir=long_folder, lengths=(800, 1600))
    known = {shown for row in map(hotpot_row, range(40)) for shown in _shown(row)}
    longest = max(map(any_counter, known)) + 8
    assert Counter(example.bucket for example in task_set.examples) == {"800": 40, "1600": 40}
    assert [line.partition("jsonl:")[2] for line in task_set.left_out] == ["41: has no context"]
    for example in task_set.examples:
        used = any_counter(task_set.task.prompt(example.context, example.question))
        assert example.length == used <= int(example.bucket) <= used + longest
        paragraphs = example.context.split("\n\n")
        assert set(paragraphs) <= known
        assert (
            len(paragraphs) == example.tags["paragraphs"] == len({one.split("\n")[0] for one in paragraphs})
        )


def _shown(row: dict[str, Any]) -> list[str]:
    return [f"{title}\n{''.join(sentences)}" for title, sentences in row["context"]]


def test_a_long_version_keeps_the_questions_paragraphs_and_its_evidence(long_folder, words):
    short = {e.id: e for e in hotpotqa(words, data_dir=long_folder)[0].examples}
    (task_set,) = hotpotqa(words, data_dir=long_folder, lengths=(800,))
    for example in task_set.examples:
        original = short[example.id.removesuffix("-800")]
        assert set(original.context.split("\n\n")) <= set(example.context.split("\n\n"))
        assert sorted(marked(example)) == sorted(marked(original))
        assert (example.answers, example.question) == (original.answers, original.question)


def test_no_added_paragraph_has_a_gold_title(tmp_path, words):
    rows = [hotpot_row(i) for i in range(30)]
    for row in rows[1:]:
        row["context"][4] = ["Town 0", ["Town 0 is a trap."]]
    (task_set,) = hotpotqa(words, data_dir=write(tmp_path, "hotpotqa", rows), lengths=(1800,))
    found = {example.id: example.context for example in task_set.examples}
    assert "Town 0 is a trap." not in found["id0-1800"]
    assert sum("Town 0 is a trap." in context for context in found.values()) == 29


def test_evidence_is_spread_over_a_long_version_and_every_order_is_its_own(long_folder, words):
    (task_set,) = hotpotqa(words, data_dir=long_folder, lengths=(1600,))
    first = [example.evidence[0][0] / len(example.context) for example in task_set.examples]
    assert min(first) < 0.1
    assert max(first) > 0.5
    assert len({example.context[:60] for example in task_set.examples}) > 20


def test_a_question_is_one_cluster_as_it_is_and_at_every_length(long_folder, words):
    (own,) = hotpotqa(words, data_dir=long_folder)
    (long,) = hotpotqa(words, data_dir=long_folder, lengths=(800, 1600), metric="em", evidence="sentences")
    sizes = Counter(example.cluster for task_set in (own, long) for example in task_set.examples)
    assert len(sizes) == 40
    assert set(sizes.values()) == {3}
    assert [one.document for one in long.outlines] == [example.cluster for example in long.examples]


@pytest.mark.parametrize("lengths", [(), (800,)])
def test_two_questions_over_the_same_paragraphs_are_one_cluster(tmp_path, words, lengths):
    rows = [hotpot_row(i) for i in range(30)]
    rows[1]["context"] = rows[0]["context"][::-1]
    (task_set,) = hotpotqa(words, data_dir=write(tmp_path, "hotpotqa", rows), lengths=lengths)
    first, second, *others = (example.cluster for example in task_set.examples)
    assert first == second
    assert len({first, *others}) == 29


@pytest.mark.parametrize("name", SETS)
def test_exact_match_is_a_task_of_its_own_over_the_same_texts(tmp_path, words, name):
    row = musique_row if name == "musique" else hotpot_row
    folder = write(tmp_path, name, [row(i) for i in range(40)])
    (f1,), (em,) = (SETS[name](words, data_dir=folder, lengths=(600,), metric=one) for one in ("f1", "em"))
    assert (f1.task.name, f1.task.metric) == (name, f"{name}_f1")
    assert (em.task.name, em.task.metric) == (f"{name}_em", f"{name}_em")
    assert list(em.examples) == list(f1.examples)
    example = em.examples[0]
    answer = example.answers[0]
    assert [em.task.score(said, example) for said in (answer, f"{answer} boats")] == [1.0, 0.0]
    assert f1.task.score(f"{answer} boats", example) == pytest.approx(2 / 3)


def test_fewer_samples_are_a_subset_even_over_the_types(long_folder, words):
    def chosen(samples: int | None, **options: Any) -> dict[str, Any]:
        (task_set,) = hotpotqa(words, data_dir=long_folder, samples=samples, lengths=(800,), **options)
        return {example.id: example for example in task_set.examples}

    few, more, everything = chosen(8), chosen(12), chosen(None)
    assert Counter(example.tags["type"] for example in few.values()) == {"bridge": 4, "comparison": 4}
    assert few.items() <= more.items() <= everything.items()
    assert set(few) != {f"id{i}-800" for i in (0, 3, 6, 9, 1, 2, 4, 5)}  # not just the file's first
    assert chosen(8) == few
    assert chosen(8, seed=1).keys() == few.keys()
    assert chosen(8, seed=1) != few


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lengths": (1_000, 90_000)}, r"paragraphs do not fill lengths=90000 .*ask for shorter ones"),
        ({"lengths": (100, 1_000)}, "tokens with its own paragraphs alone, more than lengths=100"),
        ({"lengths": (800, 800)}, "names a number twice"),
        ({"samples": 0}, "samples=0 is not possible"),
        ({"metric": "rouge"}, "hotpotqa: metric=rouge is not one of f1, em"),
        ({"metric": "em", "lengths": (100,)}, r"^hotpotqa: question id\d+ has"),
    ],
)
def test_options_that_cannot_be_met_are_one_line_errors(long_folder, words, options, message):
    with pytest.raises(ValueError, match=message) as error:
        hotpotqa(words, data_dir=long_folder, **options)
    assert "\n" not in str(error.value)


def test_a_length_is_refused_at_once_where_the_longest_question_does_not_fit(tmp_path, words):
    rows = [hotpot_row(i) for i in range(40)]
    rows[7]["context"][2][1] = ["word " * 50]
    folder = write(tmp_path, "hotpotqa", rows)
    longest = max(example.length for example in hotpotqa(words, data_dir=folder)[0].examples)
    (task_set,) = hotpotqa(words, data_dir=folder, lengths=(longest,))
    assert (len(task_set.examples), task_set.examples[7].length) == (40, longest)
    with pytest.raises(ValueError, match=rf"question id7 has {longest} tokens"):
        hotpotqa(words, data_dir=folder, lengths=(longest - 1,))


def test_sentences_are_joined_with_one_blank_and_found_again():
    text, spans = join_sentences(["One.", " Two. ", "", "Three."])
    assert text == "One. Two. Three."
    assert [text[start:end] for start, end in spans] == ["One.", "Two.", "", "Three."]
    assert lay_out([], "paragraphs") == ("", ())


def test_the_clause_is_in_the_prompt_only_where_it_is_asked_for(tmp_path, words):
    (task_set,) = hotpotqa(words, data_dir=write(tmp_path, "hotpotqa", [hotpot_row(1)]))
    task = task_set.task
    assert 'the word "Error"' in task.prompt("C", "Q?", clause=True)
    plain = task.prompt("C", "Q?")
    assert "Error" not in plain
    assert plain.endswith("\n\nQuestion: Q?\nAnswer:")
    assert task.retrievable


# The real sample, where it is at hand


@needs_real
@pytest.mark.parametrize(
    ("name", "buckets"),
    [
        ("hotpotqa", {"bridge": 20, "comparison": 10}),
        ("musique", {"2hop": 15, "3hop": 9, "4hop": 6}),
        ("2wikimqa", {"comparison": 9, "compositional": 9, "bridge_comparison": 9, "inference": 3}),
    ],
)
def test_every_real_row_is_a_question_with_the_published_support(words, name, buckets):
    (task_set,) = SETS[name](words, data_dir=REAL)
    assert Counter(example.bucket for example in task_set.examples) == buckets
    assert not task_set.left_out
    rows = {row.get("_id", row.get("id")): row for row in _real_rows(name)}
    for example in task_set.examples:
        row = rows[example.id]
        titles = [text.split("\n")[0] for text in marked(example)]
        if name == "musique":
            assert titles == [one["title"] for one in row["paragraphs"] if one["is_supporting"]]
            assert set(example.answers) == {row["answer"], *row["answer_aliases"]}
        else:
            assert set(titles) == {title for title, _ in row["supporting_facts"]}


@needs_real
@pytest.mark.parametrize("name", ["hotpotqa", "2wikimqa"])
def test_every_real_supporting_sentence_is_marked_word_for_word(words, name):
    (task_set,) = SETS[name](words, data_dir=REAL, evidence="sentences")
    rows = {row["_id"]: row for row in _real_rows(name)}
    for example in task_set.examples:
        context = dict(rows[example.id]["context"])
        facts = {context[title][n].strip() for title, n in rows[example.id]["supporting_facts"]}
        assert set(marked(example)) == facts


def _real_rows(name: str) -> list[dict[str, Any]]:
    lines = (REAL / "multihop" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
