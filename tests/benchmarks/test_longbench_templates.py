"""LongBench's wordings, limits and rules: ``python -m pytest tests/benchmarks/test_longbench_templates.py``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import longbench_v2
from benchmarks.base import Example, Task
from benchmarks.longbench import paper
from benchmarks.longbench.templates import E_TASKS, TASKS, TEMPLATES, bucket, metric, task
from benchmarks.metrics import METRICS

DATA = Path(__file__).parents[3] / "shared" / "data" / "longbench" / "templates.json"
ENGLISH = [name for name, row in TASKS.items() if row.language == "en"]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_templates_are_the_official_bytes():
    assert (
        sha256("\n".join(TEMPLATES[name] for name in TASKS))
        == "d705b7cbd71e0bceb0ba65fc5be6af4ac535772db22600b2ce44b9152aee6c93"
    )
    assert (
        sha256(TEMPLATES["narrativeqa"]) == "aada7ed24b06abace5b0045ac3bcfe06fc831a6cf434f0ecfd99fb7b3d299e1c"
    )


@pytest.mark.skipif(not DATA.exists(), reason="the sample of official hashes is not there")
def test_every_hash_and_limit_is_the_official_one():
    official = json.loads(DATA.read_text(encoding="utf-8"))
    assert {name: sha256(text) for name, text in TEMPLATES.items()} == {
        name: row["sha256"] for name, row in official.items()
    }
    assert {name: row.max_new_tokens for name, row in TASKS.items()} == {
        name: row["max_new_tokens"] for name, row in official.items()
    }


@pytest.mark.parametrize("name", TASKS)
def test_a_prompt_is_the_template_filled_in_and_braces_in_the_data_stay(name):
    context, question = "{input} of {context} {clause}", "{context}?"
    expected = TEMPLATES[name].replace("{context}", "\0").replace("{input}", question).replace("\0", context)
    assert task(name).prompt(context, question) == expected


def test_the_counts_and_the_averages_know_all_tasks():
    assert len(TASKS) == len(TEMPLATES) == 21
    assert len(ENGLISH) == 16
    assert len(E_TASKS) == 13
    assert {TASKS[name].category for name in ENGLISH} == {TASKS[name].category for name in E_TASKS}
    assert {
        task(name, code_similarity=one).metric for name in TASKS for one in ("difflib", "levenshtein")
    } <= set(METRICS)


def test_the_chat_turn_and_the_first_line_are_the_official_tasks():
    plain = {"trec", "triviaqa", "samsum", "lsht", "lcc", "repobench-p"}
    assert {name for name in TASKS if not task(name).chat} == plain
    assert {name for name in TASKS if task(name).first_line} == {"trec", "triviaqa", "samsum", "lsht"}
    assert {name for name in TASKS if task(name).stop} == {"samsum"}


@pytest.mark.parametrize("name", [name for name, row in TASKS.items() if row.clause])
def test_the_clause_stands_behind_the_question_in_oprm_s_rows_alone(name):
    there = task(name)
    without, with_clause = there.prompt("C", "Q"), there.prompt("C", "Q", clause=True)
    assert with_clause.replace(there.no_answer_clause, "", 1) == without != with_clause
    assert there.no_answer_clause.startswith(" If the ")


def test_in_qasper_the_no_answer_word_takes_the_place_of_unanswerable_and_scores_as_it():
    there = task("qasper")
    text = there.prompt("C", "Q", clause=True)
    assert "unanswerable" not in text
    assert text.replace('"Error"', '"unanswerable"') == there.prompt("C", "Q")
    assert there.graded("Error") == "unanswerable"


@pytest.mark.parametrize("said", ['"Error"', "'Error'", "**Error**", "error!", ' "ERROR".\n', "The error"])
def test_qasper_s_no_answer_word_counts_in_the_quotes_of_its_wording_and_in_other_marks(said):
    key = Example("q", "C", "Q", ("Unanswerable",), 1, "b")
    assert task("qasper").score(said, key) == 1.0
    assert paper.task("qasper").score(said, key) == 1.0


@pytest.mark.parametrize("said", ["Error rate", "Errors", "", "no"])
def test_in_qasper_no_other_answer_counts_as_the_no_answer_word(said):
    assert task("qasper").graded(said) == said


def test_buckets_are_cut_at_4000_and_8000():
    assert [bucket(length) for length in (0, 3999, 4000, 7999, 8000)] == ["0-4k"] * 2 + ["4-8k"] * 2 + ["8k+"]


def test_unknown_names_are_errors_with_the_nearest_match():
    with pytest.raises(ValueError, match="unknown LongBench task 'hotpot': did you mean hotpotqa"):
        task("hotpot")
    with pytest.raises(ValueError, match="use difflib or levenshtein"):
        metric("lcc", "jaro")  # type: ignore[arg-type]


def test_the_metric_of_code_says_by_which_measure():
    assert metric("lcc") == "code_similarity_difflib"
    assert metric("repobench-p", "levenshtein") == "code_similarity_levenshtein"


@pytest.mark.parametrize("name", ENGLISH)
def test_the_paper_s_profile_has_its_limits_and_the_chat_turn_everywhere(name):
    there: Task = paper.task(name)
    long = {"gov_report": 500, "qmsum": 250, "multi_news": 250, "samsum": 250, "lcc": 40, "repobench-p": 40}
    assert there.max_new_tokens == long.get(name, 20)
    assert (there.chat, there.stop) == (True, ())
    changed = "".join(there.wrap("Q")).split() != "".join(task(name).wrap("Q")).split()
    assert changed == (name == "narrativeqa")


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("narrativeqa", "Question: Q\n\nAnswer: "),
        ("qasper", "Question: Q\n\nAnswer:"),
        ("hotpotqa", "Question: Q\nAnswer: "),
        ("gov_report", "Summary: "),
        ("passage_count", "answer is: "),
        ("passage_retrieval_en", "answer is: "),
        ("trec", "\nQ"),
        ("lcc", "Next line of code:\n"),
    ],
)
def test_the_paper_s_cues_have_a_blank_behind_them(name, end):
    assert paper.task(name).prompt("C", "Q").endswith(end)


def test_the_paper_s_clause_stands_in_the_instruction():
    text = paper.task("musique").prompt("C", "Q", clause=True)
    assert 'words. If the answer does not exist in the passages, return "Error".\n\nQuestion: Q\n' in text
    assert "passages.\n C\n\n" in text
    text = paper.task("passage_retrieval_en").prompt("C", "Q", clause=True)
    assert 'etc. If the abstract is not from any of the paragraphs, write "Error".\n\nThe answer' in text
    assert "unanswerable" not in paper.task("qasper").prompt("C", "Q", clause=True)


def test_two_readers_have_wordings_of_their_own_in_the_paper():
    code = paper.task("lcc", reader="tiiuae/Falcon3-Mamba-7B-Instruct").after
    assert (
        code
        == "Now complete the next line of code. Only give me the answer and do not output any other words:\n"
    )
    report = paper.task("gov_report", reader="google/recurrentgemma-9b-it").after
    assert report.endswith(
        "of the report. Only give me the answer and do not output any other words.\n\nSummary: "
    )
    query = paper.task("qmsum", reader="google/recurrentgemma-9b-it").after
    assert (
        "sentences. Only give me the answer and do not output any other words.\n\nQuery: {question}" in query
    )
    assert paper.task("lcc", reader="tiiuae/falcon-mamba-7b-instruct").after == "Next line of code:\n"


def test_the_paper_has_no_chinese_task():
    with pytest.raises(ValueError, match="no wording for vcsum"):
        paper.task("vcsum")


def test_longbench_v2_s_wording_is_filled_once():
    one = longbench_v2.task()
    slots = {f"choice_{letter}": f"$C_{letter}$ {letter}" for letter in "ABCD"}
    text = replace(one, slots=slots).prompt("$Q$ {question}", "why?")
    assert text.startswith(
        "Please read the following text and answer the question below.\n\n<text>\n$Q$ {question}\n"
    )
    assert "question: why?\nChoices:\n(A) $C_A$ A\n(B) $C_B$ B\n(C) $C_C$ C\n(D) $C_D$ D\n\nFormat" in text
    assert {name: len(text) for name, text in longbench_v2.TEMPLATES.items()} == {
        "0shot": 262,
        "0shot_cot": 210,
        "0shot_cot_ans": 381,
        "0shot_no_context": 224,
        "0shot_rag": 279,
    }
