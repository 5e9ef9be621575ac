"""LongBench, v2 and InfiniteBench from files: what a row becomes, what is left out."""

from __future__ import annotations

import json

import pytest
from data_files import load, write

from benchmarks.infinitebench import infinitebench
from benchmarks.longbench import longbench, longbench_e
from benchmarks.longbench_v2 import longbench_v2
from benchmarks.sources import local_file

ROW = {
    "input": "Who?",
    "context": "Alden {input} lives.",
    "answers": ["Alden"],
    "length": 3999,
    "dataset": "hotpotqa",
    "language": "en",
    "all_classes": None,
    "_id": "x",
}


def test_a_row_becomes_an_example_in_the_official_wording(tmp_path):
    path = write(tmp_path / "longbench/hotpotqa.jsonl", ROW)
    [one] = load(longbench, tmp_path, tasks=("hotpotqa",))
    [example] = one.examples
    assert (example.id, example.answers, example.length, example.bucket) == (
        "x",
        ("Alden",),
        3999,
        "any length",
    )
    assert example.tags == {"category": "multi-doc", "language": "en"}
    prompt = one.task.prompt(example.context, example.question)
    assert prompt.startswith("Answer the question based on the given passages.")
    assert "Alden {input} lives." in prompt
    assert prompt.endswith("Question: Who?\nAnswer:")
    assert one.task.revision == local_file(path).revision
    assert one.task.score("It is Alden.", example) == pytest.approx(0.5)


def test_the_e_set_is_in_buckets_of_the_stored_length(tmp_path):
    lengths = (3999, 4000, 7999, 8000)
    rows = [ROW | {"length": length, "_id": str(length)} for length in lengths]
    write(tmp_path / "longbench/hotpotqa_e.jsonl", *rows)
    [one] = load(longbench_e, tmp_path)
    assert one.task.name == "hotpotqa_e"
    assert [outline.bucket for outline in one.outlines] == ["0-4k", "4-8k", "4-8k", "8k+"]


def test_bad_rows_are_left_out_with_file_and_line_and_the_others_kept(tmp_path):
    path = write(
        tmp_path / "longbench/trec.jsonl",
        ROW | {"all_classes": ["Alden"]},
        ROW | {"context": " \n"},
        '{"input": "torn\n',
        ROW | {"answers": "Alden"},
        ROW | {"answers": []},
        ROW | {"length": "long"},
        ROW | {"input": " \n"},
        ROW | {"all_classes": "Alden"},
        ROW | {"all_classes": ["Alden", "Bertha"]},
        ROW | {"length": True},
        ROW,
        ROW | {"context": "half a character: \ud83d"},
        ROW | {"answers": [None]},
    )
    [one] = load(longbench, tmp_path)
    assert [example.id for example in one.examples] == ["x", "x-2"]
    assert one.examples[1].choices == ("Alden", "Bertha")
    assert one.left_out == [
        f"{path}:2: it has no context",
        f"{path}:3: not a whole JSON object",
        f"{path}:4: answers is of type str, expected a list of strings",
        f"{path}:5: it has no answers",
        f"{path}:6: length is 'long', expected a whole number",
        f"{path}:7: it has no input",
        f"{path}:8: all_classes is of type str, expected a list of strings or null",
        f"{path}:10: length is True, expected a whole number",
        f"{path}:11: it has no all_classes",
        f"{path}:12: not a whole JSON object",
        f"{path}:13: answers is a list that holds a NoneType, expected a list of strings",
    ]


def test_a_row_that_no_prediction_could_be_scored_by_is_left_out(tmp_path):
    path = write(
        tmp_path / "longbench/passage_retrieval_en.jsonl",
        ROW | {"answers": ["3"]},
        ROW | {"answers": ["Paragraph 3"]},
    )
    [one] = load(longbench, tmp_path)
    assert [example.answers for example in one.examples] == [("Paragraph 3",)]
    assert one.left_out == [f"{path}:1: the answer '3' names no paragraph: expected Paragraph N"]


def test_an_id_may_be_a_number(tmp_path):
    write(tmp_path / "longbench/hotpotqa.jsonl", ROW | {"_id": 0}, ROW | {"_id": 7}, ROW | {"_id": None})
    [one] = load(longbench, tmp_path)
    assert [example.id for example in one.examples] == ["0", "7", "hotpotqa-3"]


def test_the_paper_profile_has_names_wording_and_limits_of_its_own(tmp_path):
    for name in ("hotpotqa", "qasper", "dureader", "gov_report"):
        write(tmp_path / f"longbench/{name}.jsonl", ROW)
    fair = ["qasper", "hotpotqa", "dureader", "gov_report"]
    assert [one.task.name for one in load(longbench, tmp_path)] == fair
    sets = {one.task.name: one for one in load(longbench, tmp_path, profile="paper")}
    assert set(sets) == {"qasper-paper", "hotpotqa-paper", "gov_report-paper"}
    assert sets["hotpotqa-paper"].task.max_new_tokens == 20
    assert "Error" in sets["hotpotqa-paper"].task.prompt("text", "Who?", clause=True)
    qasper, [example] = sets["qasper-paper"].task, sets["qasper-paper"].examples
    example = example.__class__(**{**vars(example), "answers": ("unanswerable",)})
    assert qasper.score("Error", example) == 1.0


def test_a_row_s_language_is_a_tag_and_english_where_it_names_none(tmp_path):
    write(tmp_path / "longbench/dureader.jsonl", ROW | {"language": "zh"}, ROW | {"language": None})
    [one] = load(longbench, tmp_path)
    assert [example.tags["language"] for example in one.examples] == ["zh", "en"]


def test_answers_scored_by_another_rule_for_the_no_answer_word_are_told_apart_by_the_revision(tmp_path):
    paths = [write(tmp_path / f"longbench/{name}.jsonl", ROW) for name in ("hotpotqa", "qasper")]
    data = [local_file(path).revision for path in paths]
    found = {one.task.name: one.task.revision for one in load(longbench, tmp_path)}
    assert found == {"hotpotqa": data[0], "qasper": f"2-{data[1]}"}


def v2_row(number, **changes):
    choices = {f"choice_{letter}": f"option {letter}" for letter in "ABCD"}
    row = {"_id": f"v{number}", "domain": "d", "sub_domain": "s", "difficulty": "hard", "length": "long"}
    return row | choices | {"question": "Which?", "answer": "B", "context": "a {question} text"} | changes


def test_version_two_is_read_row_by_row_in_its_own_buckets(tmp_path):
    rows = [v2_row(0), v2_row(1, length="short"), v2_row(2, answer="E"), v2_row(3, context="")]
    rows.append(v2_row(4, length="tiny"))
    path = tmp_path / "longbench_v2/data.json"
    path.parent.mkdir()
    path.write_text(json.dumps(rows, indent=1))
    [one] = load(longbench_v2, tmp_path)
    assert [(outline.id, outline.bucket) for outline in one.outlines] == [("v0", "long"), ("v1", "short")]
    assert one.left_out == [
        f"{path}: row 3: answer is 'E', expected A, B, C or D",
        f"{path}: row 4: it has no context",
        f"{path}: row 5: length is 'tiny', expected short, medium or long",
    ]
    example = one.examples[0]
    prompt = one.task.about(example).prompt(example.context, example.question)
    assert "<text>\na {question} text\n</text>" in prompt
    assert "this question: Which?\nChoices:\n(A) option A\n(B) option B" in prompt
    assert one.task.score("The correct answer is (B)", example) == 1.0
    assert one.task.score("", example) == 0.0
    assert example.tags["difficulty"] == "hard"


def test_version_two_s_texts_lose_the_blanks_at_their_ends_as_officially(tmp_path):
    row = v2_row(0, context="\n a text \n", question=" Which? ", choice_A=" one\n")
    path = tmp_path / "longbench_v2/data.json"
    path.parent.mkdir()
    path.write_text(json.dumps([row]))
    [one] = load(longbench_v2, tmp_path)
    [example] = one.examples
    prompt = one.task.about(example).prompt(example.context, example.question)
    assert (
        "<text>\na text\n</text>\n\nWhat is the correct answer to this question: Which?\nChoices:\n(A) one\n(B)"
        in prompt
    )
    assert example.length == 2


def test_version_two_s_chain_of_thought_is_a_task_of_two_turns(tmp_path):
    path = tmp_path / "longbench_v2/data.json"
    path.parent.mkdir()
    path.write_text(json.dumps([v2_row(0)]))
    [plain], [one] = load(longbench_v2, tmp_path), load(longbench_v2, tmp_path, cot=True)
    assert (plain.task.name, plain.task.second) == ("longbench_v2", None)
    assert (one.task.name, one.task.max_new_tokens, one.task.second.max_new_tokens) == (
        "longbench_v2_cot",
        1024,
        128,
    )
    [example] = one.examples
    first = one.task.about(example).prompt(example.context, example.question)
    second = one.task.second.about(example).prompt("Since $Q$ ...", example.question)
    assert "<text>\na {question} text\n</text>" in first
    assert first.endswith("(D) option D\n\nLet\u2019s think step by step:")
    assert "omitted here.\n\nWhat is the correct answer to this question: Which?\n" in second
    assert (
        "(D) option D\n\nLet\u2019s think step by step: Since $Q$ ...\n\nBased on the above, what is"
        in second
    )
    assert not set("{}$") & set(second.replace("$Q$", ""))


def test_the_number_that_math_find_asks_for_may_have_several_words(tmp_path):
    row = {"id": 1, "context": "[1, 2]", "answer": [2], "options": []}
    asked = ("The second largest number of the list is: ", "The median of the list is: ", "Which?")
    path = write(tmp_path / "infinitebench/math_find.jsonl", *(row | {"input": text} for text in asked))
    [one] = load(infinitebench, tmp_path)
    prompts = [one.task.about(example).prompt(example.context, example.question) for example in one.examples]
    assert prompts[0].startswith(
        "What is the second largest number in the following list?\n\n[1, 2]\n\nThe second"
    )
    assert prompts[1].startswith("What is the median in the following list?\n\n[1, 2]")
    assert [line.partition(": ")[0] for line in one.left_out] == [f"{path}:3"]


def test_infinitebench_fills_the_slots_of_its_wordings(tmp_path):
    call = {
        "id": 7,
        "context": "def func_1(x): ...",
        "input": "What is func_1(-3)?",
        "answer": [5],
        "options": [],
    }
    path = write(tmp_path / "infinitebench/code_run.jsonl", call, call | {"input": "?"}, call | {"id": None})
    [one] = load(infinitebench, tmp_path)
    example = one.examples[0]
    assert (example.id, example.answers) == ("code_run-7", ("5",))
    prompt = one.task.about(example).prompt(example.context, example.question)
    assert prompt.startswith("There is a function called func_1 in")
    assert prompt.endswith("The value of func_1(-3) is")
    assert [line.partition(": ")[0] for line in one.left_out] == [f"{path}:2", f"{path}:3"]
    assert one.task.score("5", example) == 1.0


def test_infinitebench_counts_chinese_in_characters_and_leaves_out_what_asks_nothing(tmp_path):
    row = {"id": 1, "context": "红楼梦 一", "input": "谁？", "answer": ["谁"], "options": []}
    path = write(tmp_path / "infinitebench/longbook_qa_chn.jsonl", row, row | {"input": " "})
    write(tmp_path / "infinitebench/longbook_qa_eng.jsonl", row)
    sets = {one.task.name: one for one in load(infinitebench, tmp_path)}
    assert sets["longbook_qa_chn"].examples[0].length == 5
    assert sets["longbook_qa_eng"].examples[0].length == 2
    assert sets["longbook_qa_chn"].left_out == [f"{path}:2: it has no input"]
    write(tmp_path / "infinitebench/math_calc.jsonl", row | {"input": "", "answer": [3]})
    [calc] = load(infinitebench, tmp_path, tasks=("math_calc",))
    assert [example.answers for example in calc.examples] == [("3",)]


def test_what_a_file_holds_is_in_the_revision_of_its_task(tmp_path):
    row = {"id": 1, "context": "c", "input": "i", "answer": ["1"]}
    v2, passkey = tmp_path / "longbench_v2/data.json", write(tmp_path / "infinitebench/passkey.jsonl", row)
    write(v2, json.dumps([v2_row(0)]))
    for benchmark, path in ((longbench_v2, v2), (infinitebench, passkey)):
        assert [one.task.revision for one in load(benchmark, tmp_path)] == [local_file(path).revision]
