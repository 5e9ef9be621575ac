"""A reader with code of its own in its folder, written for transformers 4 (see `remote_reader.py`), is read as if
each row were alone and cut between its tokens."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from remote_reader import PIECES, FadingConfig, FadingForCausalLM
from safetensors.torch import save_file
from transformers import dynamic_module_utils

from methods.__main__ import main as check_method
from models import efficiency, loading
from models.engine import Engine
from models.specs import ReaderError
from retrievers.chunking import cut_places

Rows = Callable[[int, int], list[list[int]]]
PARTS = {"AutoConfig": "FadingConfig", "AutoModelForCausalLM": "FadingForCausalLM"}
AROUND = ["the ", " the", "Error", " 🦩", "🦩", "日", "本", "é", "\n", "\N{REPLACEMENT CHARACTER}", "x<s>y"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository's folder; its code is loaded from a copy, which is kept out of the user's cache."""
    folder = tmp_path_factory.mktemp("repository") / "fading"
    torch.manual_seed(1)
    model = FadingForCausalLM(FadingConfig(eos_token_id=3))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model.config.save_pretrained(folder)
    save_file(model.state_dict(), folder / "model.safetensors", {"format": "pt"})
    shutil.copy(Path(__file__).with_name("remote_reader.py"), folder)
    settings = json.loads((folder / "config.json").read_text())
    settings["auto_map"] = {auto: f"remote_reader.{name}" for auto, name in PARTS.items()}
    (folder / "config.json").write_text(json.dumps(settings))
    own = {"auto_map": {"AutoTokenizer": ["remote_reader.PiecesTokenizer", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(own | {"tokenizer_class": "PiecesTokenizer"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(folder.parent / "modules"))
        patch.syspath_prepend(str(folder.parent / "modules"))
        yield folder


def opened(folder: Path, dtype: str = "float32") -> Engine:
    return Engine.load(str(folder), device="cpu", dtype=dtype, trust_remote_code=True)


@torch.inference_mode()
def plain(engine: Engine, ids: list[int], tokens: int) -> str:
    """Greedy text of the model's own forward, which reads the whole text for every token."""
    made: list[int] = []
    for _ in range(tokens):
        logits = engine.model(input_ids=torch.tensor([ids + made])).logits
        if (token := int(logits[0, -1].argmax())) in engine.eos_ids:
            break
        made.append(token)
    return engine.text(made)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_rows_read_together_answer_as_each_does_alone(folder: Path, rows: Rows, dtype: str) -> None:
    engine = opened(folder, dtype)
    for ids in (*rows(3, 12), *rows(2, 1)):
        together = engine.prefill([ids, ids[::-1], ids])
        alone = engine.prefill([ids])
        torch.testing.assert_close(together.logits[2], alone.logits[0], atol=1e-4, rtol=1e-3)
        wanted = plain(engine, ids, 6)
        cut = engine.select(together, 2)
        assert [engine.decode(cut, 6), engine.decode(cut, 6), engine.generate(ids, 6)] == [wanted] * 3


def test_only_what_its_code_names_is_kept_in_float32_beside_float16(folder: Path) -> None:
    engine = opened(folder, "float16")
    kinds = {name: parameter.dtype for name, parameter in engine.model.named_parameters()}
    assert kinds.pop("decay") == torch.float32
    assert set(kinds.values()) == {torch.float16}
    for dtype in ("float32", "bfloat16"):
        assert {str(one.dtype) for one in opened(folder, dtype).model.parameters()} == {f"torch.{dtype}"}
    whole = opened(folder).model.get_parameter("decay_mix")
    assert torch.equal(engine.model.get_parameter("decay_mix"), whole.half())


def test_a_tokenizer_in_python_is_cut_between_its_tokens(folder: Path) -> None:
    engine = opened(folder)
    text = "".join(random.Random(5).choices(AROUND, k=4000))
    assert len(text) > 8000
    ids = engine.encode(text)
    owners = [place for place, letter in enumerate(text) for _ in letter.encode()]
    place, wanted = 0, []
    for piece in (PIECES[token] for token in ids):
        wanted.append((owners[place], owners[place + len(piece) - 1] + 1))
        place += len(piece)
    assert place == len(owners)
    assert list(cut_places(text, engine.offsets(text))) == list(cut_places(text, wanted))


def test_its_texts_end_where_its_configuration_says_so(folder: Path) -> None:
    engine = opened(folder)
    assert engine.kernel == "remote"  # so that its answers are not taken for those of a class of transformers
    assert not hasattr(engine.model, "generation_config")
    assert engine.eos_ids == {0, 3}  # the tokenizer's as well


def test_without_trust_it_is_one_line_that_names_the_flag(folder: Path) -> None:
    with pytest.raises(ReaderError, match=r"pass --trust-remote-code$"):
        Engine.load(str(folder), device="cpu")


def test_what_fails_in_transformers_own_code_is_not_laid_to_the_repositorys(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise TypeError("no such option")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", fail)
    with pytest.raises(ReaderError, match=r"cannot load the model of .*: no such option$"):
        Engine.load(str(folder), device="cpu")


@pytest.mark.parametrize("method", ["oprm", "transformers"])
def test_the_efficiency_table_reads_it_where_it_is_trusted(folder: Path, method: str) -> None:
    trusted = efficiency.Reader("fading", str(folder), "cpu", "float32", trusted=True)
    cell = efficiency.Cell(method, 300, chunk_size=100, new_tokens=2)
    contexts = efficiency.write_contexts(trusted, [300])
    measured = efficiency.measure(trusted, cell, contexts[300])
    assert measured is not None
    assert measured.seconds > 0
    with pytest.raises(ReaderError, match=r"pass --trust-remote-code$"):
        efficiency.measure(replace(trusted, trusted=False), cell, contexts[300])


def test_a_method_is_checked_on_it_where_it_is_trusted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = []
    monkeypatch.setattr("methods.__main__.answers_elsewhere", lambda *asked: told.append(asked) or [])
    monkeypatch.setattr("methods.conformance.verdicts", lambda trial: [*trial.elsewhere()])
    asked = ["check", "full", "--model", str(folder)]
    assert check_method(asked) == 2
    assert "pass --trust-remote-code" in capsys.readouterr().err
    assert check_method([*asked, "--trust-remote-code"]) == 0
    assert told == [("full", str(folder), True)]  # the other process must trust it too
    assert f"--model {folder} --trust-remote-code" in capsys.readouterr().out


def test_code_that_was_written_for_another_transformers_is_named_as_such(
    folder: Path, tmp_path: Path
) -> None:
    older = tmp_path / "older"
    shutil.copytree(folder, older)
    settings = json.loads((older / "config.json").read_text())
    (older / "config.json").write_text(json.dumps(settings | {"tie_word_embeddings": True}))
    version = transformers.__version__
    with pytest.raises(ReaderError, match=rf"not for transformers {version}: mend it in a local copy"):
        opened(older)
    (older / "remote_reader.py").write_text("import no_such_package\n")
    with pytest.raises(ReaderError, match=r"no_such_package. Run `pip install no_such_package`$"):
        opened(older)


def test_what_its_code_keeps_in_float32_strictly_stays_so() -> None:
    model = FadingForCausalLM(FadingConfig(dtype="float16"))
    model._keep_in_fp32_modules_strict = {"head"}
    loading._keep_whole_names(model)
    kept = {name for name, parameter in model.named_parameters() if parameter.dtype == torch.float32}
    assert kept == {"decay", "head.weight"}
