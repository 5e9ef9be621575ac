"""The embedded model's recipe: the lessons' answers are right, the initialisation binds, a run resumes exactly."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks import curriculum
from benchmarks.lessons import IGNORE, Lesson, Teacher
from models.cpu_mamba import attach
from models.tiny import learning, train
from models.tiny.model import new_model

Vocabulary = dict[int, str]


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return train.make_teacher()[1]


@pytest.fixture(scope="module")
def words(teacher: Teacher) -> Vocabulary:
    return {number: word for word, number in teacher.word_ids.items()}


def questions(lesson: Lesson, words: Vocabulary) -> tuple[str, list[tuple[str, str]]]:
    """The text and its (question, answer) pairs, read from the tokens alone."""
    tokens = " ".join(words[i] for i in lesson.ids)
    text, *asked = tokens.split(" question : ")
    pairs = [piece.split(" <eos>")[0].split(" answer : ") for piece in asked]
    return text, [(question, answer) for question, answer in pairs]


def solve(text: str, question: str) -> str:
    """The answer by looking for the sentence, independently of how the lesson was made."""
    asked = question.removesuffix(" ?").split()[-1]
    for known, found in ((f"the office of {asked} is in ", True), (f"{asked} works in ", False)):
        if question.startswith("where") == found and known in text:
            return text.split(known)[1].split()[0]
    return "error"


@pytest.mark.parametrize("seed", range(20))
def test_the_answer_to_every_fact_question_is_what_the_text_says(
    teacher: Teacher, words: Vocabulary, seed: int
) -> None:
    lesson = curriculum.chunk(teacher, random.Random(seed))()
    text, asked = questions(lesson, words)
    cut = text.rsplit(" . ", 1)[-1]  # the last sentence may lack its value
    for question, answer in asked:
        expected = solve(text, question)
        assert answer == expected or (answer == "error" and cut.endswith(("is in", "works in", cut)))


def test_the_loss_counts_answers_and_their_ends_and_nothing_else(teacher: Teacher, words: Vocabulary) -> None:
    lesson = curriculum.facts(8)(teacher, random.Random(3))()
    assert len(lesson.ids) == len(lesson.targets) == len(lesson.weights) == len(lesson.traces)
    for i, target in enumerate(lesson.targets):
        if target != IGNORE:
            assert lesson.ids[i + 1] == target
            assert words[lesson.ids[i]] == ":" or words[target] == "<eos>"


@pytest.mark.parametrize("seed", range(10))
def test_a_two_hop_answer_names_the_person_and_then_the_city(
    teacher: Teacher, words: Vocabulary, seed: int
) -> None:
    lesson = curriculum.hops(4)(teacher, random.Random(seed))()
    text, asked = questions(lesson, words)
    for question, answer in asked:
        if question.startswith("where is the office of the ") and answer != "error":
            job = question.removesuffix(" ?").split()[-1]
            person, city = answer.split(" is in ")
            assert f"the {job} is called {person} ." in text
            assert f"the office of {person} is in {city}" in text


@pytest.mark.parametrize("seed", range(10))
def test_the_letter_of_a_pair_is_the_passage_that_holds_the_fact(
    teacher: Teacher, words: Vocabulary, seed: int
) -> None:
    lesson = curriculum.pairs(4, 2)(teacher, random.Random(seed))()
    tokens = " ".join(words[i] for i in lesson.ids)
    passages, *asked = tokens.split(" which passage is more relevant to the question : ")
    sides = dict(zip("ab", passages.removeprefix("passage a : ").split(" passage b : "), strict=True))
    for piece in asked:
        question, letter = piece.split(" <eos>")[0].split(" answer : ")
        answers = {side: solve(text, question) for side, text in sides.items()}
        assert answers[letter] != "error" or set(answers.values()) == {"error"}


def test_lessons_are_the_same_for_the_same_seed_and_differ_for_another(teacher: Teacher) -> None:
    first, again, other = (curriculum.chunk(teacher, random.Random(seed))() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_new_model_is_the_same_for_the_same_seed_and_starts_with_equal_keys_and_queries() -> None:
    one, same, other = (new_model(50, hidden=32, layers=1, seed=seed) for seed in (4, 4, 5))
    mixer = one.backbone.layers[0].mixer
    rank = mixer.time_step_rank
    keys, queries = mixer.x_proj.weight[rank : rank + 16], mixer.x_proj.weight[rank + 16 :]
    assert torch.equal(keys, queries)
    assert torch.equal(one.lm_head.weight, same.lm_head.weight)
    assert not torch.equal(one.lm_head.weight, other.lm_head.weight)


def small_run(folder: Path, steps: int) -> learning.Run:
    return train.start(folder, seed=0, steps=steps, hidden=32, layers=2, state=8)


def test_a_stopped_training_goes_on_as_if_it_had_not_been_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "TOKENS_PER_STEP", 400)
    whole = small_run(tmp_path / "whole", 6)
    train.train(whole, save_every=100)
    stopped = small_run(tmp_path / "stopped", 6)
    for _ in range(3):
        stopped.train_step()
    stopped.save()
    resumed = small_run(tmp_path / "stopped", 6)
    resumed.resume()
    assert resumed.step == 3
    train.train(resumed, save_every=100)
    torch.testing.assert_close(whole.model.state_dict(), resumed.model.state_dict(), rtol=0, atol=1e-6)


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    small_run(tmp_path, 6).save()
    with pytest.raises(learning.CheckpointError, match="--seed 0 --steps 6"):
        small_run(tmp_path, 7).resume()


def test_what_training_saves_loads_strictly_in_transformers_and_gives_the_same_logits(tmp_path: Path) -> None:
    run = small_run(tmp_path, 1)
    run.save()
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer("The office of Alden is in Paris. Question: Where is the office of Alden? Answer:")[
        "input_ids"
    ]
    assert tokenizer.unk_token_id not in ids
    with torch.inference_mode():
        ours, theirs = (model(torch.tensor([ids])).logits for model in (run.model.eval(), loaded))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_recipe_binds_names_to_values_within_a_minute_of_training(teacher: Teacher) -> None:
    """Chance is one in four; Mamba's own initialisation was still there after thousands of steps."""
    model = new_model(len(teacher.word_ids), hidden=64, layers=2, seed=0)
    attach(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2.5e-3, betas=(0.9, 0.98))
    accuracies: list[float] = []
    for step in range(250):
        optimizer.param_groups[0]["lr"] = 2.5e-3 * min(1, (step + 1) / 30)
        write = curriculum.dense(4, 50)(teacher, random.Random(step))
        loss, accuracy, _ = learning.loss_and_accuracy(model, [write() for _ in range(48)], teacher)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        accuracies.append(accuracy)
    assert sum(accuracies[-10:]) / 10 > 0.6


def test_the_learning_rate_falls_twice_and_the_second_fall_ends_at_nothing():
    rates = [learning.rate(step, 1200) for step in range(1200)]
    assert max(rates[:1000]) == learning.PEAK_RATE == rates[300]
    assert rates[999] < 0.03 * learning.PEAK_RATE
    assert max(rates[1000:]) == pytest.approx(learning.POLISH_RATE)
    assert rates[-1] < 1e-3 * learning.POLISH_RATE


def test_the_polish_is_mostly_facts_and_keeps_the_other_skills():
    all_ladders, rng = curriculum.ladders(), random.Random(0)
    names = [curriculum.choose_polish(all_ladders, rng)[0].name for _ in range(400)]
    assert 0.6 < names.count("facts") / 400 < 0.8
    assert min(names.count("hops"), names.count("pairs")) > 30


def test_coins_ends_and_links_are_no_answers_in_the_accuracy(teacher: Teacher) -> None:
    """A letter to toss a coin for counts half in the loss; the accuracy, which climbs the ladders, leaves it out."""
    known, coin, error = 5, 6, teacher.error
    goals = [(known, 1.0), (coin, 0.5), (error, 1.0), (teacher.link[0], 1.0), (teacher.end, 1.0)]

    def accuracies(said: int) -> tuple[float, float]:
        """Of a model that says the same word everywhere."""
        model = new_model(len(teacher.word_ids), hidden=32, layers=1, seed=0)
        with torch.no_grad():
            model.lm_head.weight.copy_(torch.zeros_like(model.lm_head.weight))
        model.lm_head.bias = torch.nn.Parameter(torch.eye(len(teacher.word_ids))[said])
        targets, weights = [goal for goal, _ in goals], [weight for _, weight in goals]
        lesson = Lesson([7] * len(goals), targets, weights, [IGNORE] * len(goals))
        _, right, absent = learning.loss_and_accuracy(model, [lesson], teacher)
        return right, absent

    assert accuracies(known) == (1.0, 0.0)
    assert accuracies(error) == (0.0, 1.0)
    assert accuracies(coin) == accuracies(teacher.end) == accuracies(teacher.link[0]) == (0.0, 0.0)
