"""RULER's needle tasks, their promises one by one: ``python -m pytest tests/benchmarks/test_ruler.py``."""

from __future__ import annotations

import random
import re
import uuid
from pathlib import Path

import pytest

from benchmarks import ruler as module
from benchmarks.base import Example, Task, digest
from benchmarks.ruler import DEPTHS, TASKS, ruler
from benchmarks.sources import DataError

WORDS = (("calm", "loud", "quick", "round"), tuple(f"noun{i}" for i in range(60)))
NOISE = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."
NEEDLE = re.compile(r"One of the special magic (numbers|uuids) for (\S+) is: (\S+)\.")
LENGTHS = (700, 1500)


@pytest.fixture(autouse=True)
def _few_words(monkeypatch):
    """The real lists need a package; any two lists of words will do."""
    monkeypatch.setattr(module, "word_lists", lambda: WORDS)


@pytest.fixture
def essays(tmp_path) -> Path:
    rng = random.Random(3)
    for name in "ab":
        sentences = [
            " ".join(rng.choices(["work", "time", "people", "money"], k=rng.randint(4, 20)))
            for _ in range(40)
        ]
        text = "\n".join(f"Essay {i} says {sentence}." for i, sentence in enumerate(sentences))
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    return tmp_path


def prompt(task: Task, example: Example) -> str:
    return task.about(example).prompt(example.context, example.question)


def test_prompt_and_new_tokens_fill_the_length_and_never_exceed_it(any_counter, essays):
    sets = ruler(any_counter, lengths=LENGTHS, samples=3, haystack=essays)
    assert [one.task.name for one in sets] == list(TASKS)
    for task_set in sets:
        assert task_set.task.max_new_tokens == 128
        for example in task_set.examples:
            used = any_counter(prompt(task_set.task, example))
            assert example.length == used <= int(example.bucket) - 128
            # One more unit (a word, five sentences of noise, a needle) would not fit, give or take the draw.
            unit = any_counter(NOISE) if example.context.count("\n") else 12
            assert int(example.bucket) - 128 - used <= 4 * max(unit, 12) + 40


def test_the_size_of_a_length_s_haystack_is_searched_once(words):
    counted = 0

    def count(text):
        nonlocal counted
        counted += 1
        return words(text)

    (task_set,) = ruler(count, tasks=("niah_single_1",), lengths=(1500,), samples=9)
    searched = counted
    assert len(list(task_set.examples)) == 9
    assert counted - searched <= 9 * 4


@pytest.mark.parametrize("name", list(TASKS))
def test_every_asked_value_is_in_the_context_exactly_once_in_its_needle(words, essays, name):
    setting = TASKS[name]
    (task_set,) = ruler(words, tasks=(name,), lengths=LENGTHS, samples=4, haystack=essays)
    for example in task_set.examples:
        found = NEEDLE.findall(example.context)
        keys = [key for _, key, _ in found]
        marked = [NEEDLE.fullmatch(example.context[start:end]) for start, end in example.evidence]
        assert all(marked)
        assert {match[3] for match in marked} == set(example.answers)
        assert len(example.answers) == len(example.evidence) == setting.queries * setting.values
        for answer in example.answers:
            assert example.context.count(answer) == 1
        for match in marked:
            assert match[2] in example.question
            assert keys.count(match[2]) == setting.values
        others = example.tags["units"] if setting.haystack == "needles" else 0
        assert len(found) == setting.keys * setting.values + others
        assert {kind for kind, _, _ in found} == {setting.value}


def test_keys_and_values_are_what_the_task_says(words, essays):
    for task_set in ruler(words, lengths=(700,), samples=3, haystack=essays):
        setting = TASKS[task_set.task.name]
        for example in task_set.examples:
            for _, key, value in NEEDLE.findall(example.context):
                if setting.key == "words":
                    assert key.split("-")[0] in WORDS[0]
                    assert key.split("-")[1] in WORDS[1]
                else:
                    assert uuid.UUID(key).version == 4
                if setting.value == "numbers":
                    assert re.fullmatch(r"[1-9]\d{6}", value)
                else:
                    assert uuid.UUID(value).version == 4


def test_the_haystacks_are_noise_essays_and_other_needles(words, essays):
    sets = {one.task.name: one for one in ruler(words, lengths=(700,), samples=2, haystack=essays)}
    for name, setting in TASKS.items():
        for example in sets[name].examples:
            rest = NEEDLE.sub("", example.context).strip()
            if setting.haystack == "noise":
                assert set(filter(None, rest.split("\n"))) == {NOISE}
            elif setting.haystack == "needles":
                assert not rest
            else:
                texts = " ".join(path.read_text(encoding="utf-8") for path in sorted(essays.glob("*.txt")))
                assert rest.startswith("Essay 0 says")
                assert " ".join(rest.split()) in " ".join(texts.split())


def test_the_wording_is_rulers(words, essays):
    sets = {one.task.name: one for one in ruler(words, lengths=(700,), samples=1, haystack=essays)}
    one, many = sets["niah_single_3"], sets["niah_multiquery"]
    (example,) = one.examples
    key = NEEDLE.findall(example.context)[0][1]
    assert prompt(one.task, example) == (
        "A special magic uuid is hidden within the following text. Make sure to memorize it. I will quiz you about "
        f"the uuid afterwards.\n{example.context}\nWhat is the special magic uuid for {key} mentioned in the "
        f"provided text? The special magic uuid for {key} mentioned in the provided text is"
    )
    (example,) = many.examples
    assert prompt(many.task, example).startswith(
        "Some special magic numbers are hidden within the following text. Make sure to memorize it. I will quiz you "
        "about the numbers afterwards.\n"
    )
    query = re.fullmatch(
        r"What are all the special magic numbers for (.+) mentioned in the provided text\?", example.question
    )[1]
    assert re.fullmatch(r"\S+, \S+, \S+, and \S+", query)
    assert prompt(many.task, example).endswith(
        f"? The special magic numbers for {query} mentioned in the provided text are"
    )


def test_needles_in_essays_lie_at_the_forty_depths_and_all_over(words, essays):
    assert len(DEPTHS) == 40
    assert DEPTHS[:3] == (0, 3, 5)  # round(100 / 39), round(200 / 39)
    assert DEPTHS[-1] == 100
    (task_set,) = ruler(words, tasks=("niah_single_2",), lengths=(1500,), samples=60, haystack=essays)
    places = [e.evidence[0][0] / (len(e.context) - 60) for e in task_set.examples]
    assert min(places) < 0.1
    assert max(places) > 0.9
    for example in task_set.examples:
        before = example.context[: example.evidence[0][0]]
        last = example.evidence[0][1] == len(example.context)  # after the last words, which are cut anywhere
        assert before == "" or before.endswith(". ") or last
        assert example.tags["token"] == words(task_set.task.before + before)


def test_an_example_is_the_same_whatever_else_is_asked_for(words, essays):
    few = {e.id: e for one in ruler(words, lengths=(700,), samples=2, haystack=essays) for e in one.examples}
    many = {
        e.id: e for one in ruler(words, lengths=LENGTHS, samples=5, haystack=essays) for e in one.examples
    }
    assert len(few) == 16
    assert few.items() <= many.items()
    other = ruler(words, lengths=(700,), samples=2, haystack=essays, seed=1)
    assert not {e.context for one in other for e in one.examples} & {e.context for e in few.values()}


def test_the_examples_of_a_revision_stay_what_they_are(words, essays):
    """Another digest means other examples: raise the task's revision, or old and new records get mixed."""
    sets = ruler(words, lengths=(700,), samples=1, haystack=essays)
    revisions = {one.task.name: one.task.revision.split("-")[0] for one in sets}
    assert revisions == dict.fromkeys(TASKS, "2") | {"niah_multikey_3": "1"}  # whose keys are no words
    parts = (part for one in sets for e in one.examples for part in (e.id, e.context, e.question, *e.answers))
    assert digest(*parts) == "0f77f6c8127047cf"


def test_other_essays_are_another_revision_where_they_are_used(words, essays):
    def revisions() -> dict[str, str]:
        return {
            o.task.name: o.task.revision for o in ruler(words, lengths=(700,), samples=1, haystack=essays)
        }

    before = revisions()
    (essays / "c.txt").write_text("More text.", encoding="utf-8")
    changed = {name for name, revision in revisions().items() if revision != before[name]}
    assert changed == {name for name, setting in TASKS.items() if setting.haystack == "essays"}


def test_essays_that_are_too_short_are_repeated(words, tmp_path):
    (tmp_path / "a.txt").write_text("Only one sentence here.", encoding="utf-8")
    (task_set,) = ruler(words, tasks=("niah_single_2",), lengths=(700,), samples=1, haystack=tmp_path)
    (example,) = task_set.examples
    assert example.context.count("Only one sentence here.") > 50


def test_without_essays_three_tasks_run_and_the_error_names_them(words):
    free = ("niah_single_1", "niah_multikey_2", "niah_multikey_3")
    assert [one.task.name for one in ruler(words, tasks=free, lengths=(700,), samples=1)] == list(free)
    with pytest.raises(DataError, match=rf"haystack=DIR, or ask for tasks={';'.join(free)}"):
        ruler(words, lengths=(700,))


def test_without_the_word_lists_uuids_still_run(words, monkeypatch):
    monkeypatch.undo()
    module.word_lists.cache_clear()
    monkeypatch.setattr(module, "files", lambda _: (_ for _ in ()).throw(ModuleNotFoundError()))
    assert ruler(words, tasks=("niah_multikey_3",), lengths=(1500,), samples=1)
    with pytest.raises(DataError, match=r"pip install .*tasks=niah_multikey_3"):
        ruler(words, tasks=("niah_single_1",), lengths=(700,), samples=1)


@pytest.fixture
def real_words(monkeypatch):
    """The package, and its own lists in the place of the few words."""
    package = pytest.importorskip("wonderwords")
    monkeypatch.undo()
    module.word_lists.cache_clear()
    return package


def test_the_packages_words_are_those_that_it_reads_itself_each_once(real_words):
    for found, kind in zip(module.word_lists(), ("adjectives", "nouns"), strict=True):
        theirs = real_words.RandomWord().filter(include_parts_of_speech=[kind])
        assert len(found) == len(set(found)) > 900
        assert set(found) == set(theirs)


def test_no_key_of_the_packages_words_has_a_blank_beside_its_hyphen(real_words, words):
    (task_set,) = ruler(words, tasks=("niah_multikey_2",), lengths=(4000,), samples=20)
    keys = [
        key for one in task_set.examples for key in re.findall(r"numbers for (.+?) is: \d{7}\.", one.context)
    ]
    assert len(keys) > 2000
    assert not [key for key in keys if re.search(r"\s-|-\s|\s$", key)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ("niah_single",)}, r"tasks=niah_single is not possible: name some of niah_single_1"),
        ({"tasks": ("niah_single_1",) * 2}, "each once"),
        ({"tasks": ()}, "tasks= is not possible"),
        ({"tasks": ("niah_single_1",), "lengths": (150,)}, r"lengths=150 is too short .* takes \d+ tokens"),
        ({"tasks": ("niah_single_1",), "lengths": (4000, 150)}, "lengths=150 is too short"),
        ({"tasks": ("niah_single_1",), "samples": 0}, "samples=0"),
        ({"tasks": ("niah_single_1",), "lengths": ()}, "lengths=nothing"),
    ],
)
def test_options_that_make_no_sense_are_one_line_errors(words, options, message):
    with pytest.raises(ValueError, match=message) as error:
        ruler(words, **options)
    assert "\n" not in str(error.value)
