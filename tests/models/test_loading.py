"""Opening readers from folders: what runs them, and one line for everything that can be wrong with them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import huggingface_hub.constants
import pytest
import torch
import transformers
from huggingface_hub import utils as hub_utils
from huggingface_hub.errors import RevisionNotFoundError
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging

from models import loading
from models.engine import Engine
from models.revision import folder_revision
from models.specs import ReaderError, ReaderSpec, reader_spec

Models = Callable[[str], PreTrainedModel]
WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path, random_model: Models, tokenizer: PreTrainedTokenizerFast) -> Path:
    """A folder that holds a whole Mamba."""
    random_model("Mamba").save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def complaint(folder: Path | str, **options: Any) -> str:
    with pytest.raises(ReaderError) as caught:
        Engine.load(str(folder), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_mamba_on_a_cpu_runs_our_scan_and_answers_as_the_fallback_does(
    folder: Path, reader: Callable[..., Engine], rows: Callable
) -> None:
    loaded, plain = Engine.load(str(folder), device="cpu"), reader("Mamba")
    assert (loaded.kernel, plain.kernel) == ("numba", "torch")
    assert (loaded.device.type, loaded.dtype, loaded.vocab_size) == ("cpu", torch.float32, 64)
    batch = rows(3, 30)
    together = loaded.prefill(batch)
    torch.testing.assert_close(together.logits, plain.prefill(batch).logits, atol=1e-4, rtol=0)
    for row, ids in enumerate(batch):
        assert loaded.decode(loaded.select(together, row), 8) == plain.generate(ids, 8)
    assert loaded.score(batch[0], batch[1]) == pytest.approx(plain.score(batch[0], batch[1]), abs=1e-3)


def test_another_family_runs_as_transformers_has_it(
    tmp_path: Path, random_model: Models, tokenizer: PreTrainedTokenizerFast
) -> None:
    random_model("Llama").save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    engine = Engine.load(str(tmp_path), device="cpu", dtype="bfloat16")
    assert (engine.kernel, engine.dtype, engine.window) == ("torch", torch.bfloat16, 256)
    assert engine.spec.revision == folder_revision(tmp_path)
    assert engine.prefill([[7, 8]]).logits.dtype == torch.float32


def test_a_reader_is_named_by_what_was_in_its_folder_when_it_was_loaded(folder: Path) -> None:
    before = folder_revision(folder)
    loaded = Engine.load(folder, device=torch.device("cpu"))  # type: ignore[arg-type]
    tensors = {name: tensor / 2 for name, tensor in load_file(folder / WEIGHTS).items()}
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    assert loaded.revision == before != folder_revision(folder)


def test_a_folder_without_a_configuration_is_no_reader(tmp_path: Path) -> None:
    assert "expected config.json, model.safetensors and tokenizer.json" in complaint(tmp_path)


def test_a_folder_without_weights_says_so(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    assert "no file named model.safetensors" in complaint(folder)


def test_torn_weights_do_not_load(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:2000])
    said = complaint(folder)
    assert "cannot load the model" in said
    assert "hub" not in said


def test_weights_that_lack_a_tensor_are_refused_and_not_made_up(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    del tensors["backbone.layers.1.mixer.A_log"]
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    assert "1 tensors missing, the first is backbone.layers.1.mixer.A_log" in complaint(folder)


def test_a_size_that_is_not_the_configurations_is_said_with_the_tensor(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 72}))
    found = "backbone.embeddings.weight is [64, 32] and should be [72, 32]"
    assert f"are not those of its config.json: {found}" in complaint(folder)


SMALL = {"vocab_size": 64, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 2}
ENCODER = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
BOTH = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "decoder_attention_heads": 2}
BOTH |= {"encoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "vocab_size": 64}


@pytest.mark.parametrize(
    ("kind", "model", "sizes", "reason"),
    [
        ("Bert", "BertForMaskedLM", SMALL | ENCODER, "reads in both directions (BertLMHeadModel)"),
        ("Roberta", "RobertaForMaskedLM", SMALL | ENCODER, "in both directions (RobertaForCausalLM)"),
        ("Bart", "BartForConditionalGeneration", SMALL | BOTH, "is an encoder-decoder"),
        ("T5", "T5ForConditionalGeneration", T5, "is an encoder-decoder"),
    ],
)
def test_a_model_that_is_no_causal_one_is_refused(
    kind: str, model: str, sizes: dict[str, Any], reason: str, folder: Path
) -> None:
    config = getattr(transformers, f"{kind}Config")(**sizes)
    getattr(transformers, model)(config).save_pretrained(folder)
    assert f"{reason}: expected a causal language model" in complaint(folder).replace(
        str(folder), "the folder"
    )


@pytest.mark.parametrize("kind", ["Bert", "GPTNeoX"])
def test_a_decoder_is_a_causal_one_whatever_its_configuration_leaves_open(kind: str, folder: Path) -> None:
    """A BERT that was made a decoder, and a decoder whose `is_decoder` nobody sets."""
    config = getattr(transformers, f"{kind}Config")(**SMALL, **ENCODER)
    if kind == "Bert":
        config.is_decoder = True
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    assert config.is_decoder == (kind == "Bert")
    assert Engine.load(str(folder), device="cpu").prefill([[7, 8]]).logits.shape == (1, 1, 64)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ raise_exception('A system message is required') }}", "(A system message is required)"),
        ("{% for m in messages %}{{ m['content'] }}", "(Unexpected end of template."),
        ({"tool_use": "x", "rag": "x"}, "(This model has multiple chat templates with no default"),
    ],
)
def test_a_chat_template_that_fails_on_a_user_turn_is_refused_before_weights_are_read(
    template: Any, reason: str, folder: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    with pytest.raises(ReaderError, match="fails on a single user turn") as caught:
        loading.load_tokenizer(reader_spec(str(folder)))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    turned = replace(reader_spec(str(folder)), turn=("w1 ", " w2"))  # which goes before the template
    assert loading.load_tokenizer(turned).chat_template


def test_a_folder_without_a_tokenizer_says_so(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    assert "no tokenizer in" in complaint(folder)


def test_a_folder_without_a_reader_or_with_one_that_has_no_tokenizer_is_a_whole_line(
    folder: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(
        ReaderError, match=rf"^no reader in {empty}: expected config.json, .* tokenizer.json$"
    ):
        loading.load_tokenizer(reader_spec(str(empty)))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(
        ReaderError, match=r"tokenizer of .*: its files are not there, expected tokenizer.json$"
    ):
        loading.load_tokenizer(reader_spec(str(folder)))


def test_a_broken_configuration_is_one_line(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    assert "not a valid JSON file" in complaint(folder)


def test_code_from_a_repository_runs_only_when_trusted(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}}
    (folder / "config.json").write_text(json.dumps(config))
    assert "--trust-remote-code" in complaint(folder)
    assert "--trust-remote-code" in complaint("v6-finch-7b")
    assert "under 5 it was run with random weights" in complaint("v6-finch-7b")


def test_a_hub_id_without_a_network_says_what_it_would_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "needs a network or a filled cache" in complaint("some-lab/no-such-model")


class NotThere(RevisionNotFoundError):
    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)  # the hub's own wants a response


@pytest.mark.parametrize("asked", [None, "v1.0"])
def test_the_revision_that_was_asked_for_is_looked_for_or_else_the_pinned_one(
    asked: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def refuse(source: str, **options: Any) -> None:
        looked.append(options["revision"])
        raise OSError("not in the cache")

    def ask(self: object, source: str, *, revision: str, timeout: float) -> None:
        raise NotThere("404 Client Error. (Request ID: 1)\n\nRevision Not Found for url")

    monkeypatch.setattr(loading.AutoConfig, "from_pretrained", refuse)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", ask)
    pinned = reader_spec("mamba-130m").revision
    assert complaint("mamba-130m", revision=asked) == (
        f"state-spaces/mamba-130m-hf has no revision {asked or pinned!r}: expected a commit, branch or tag of "
        "its repository"
    )
    assert looked == [asked or pinned]


def test_a_local_folder_has_no_revisions(folder: Path) -> None:
    assert "is a local folder, which has no revision 'v1.0'" in complaint(folder, revision="v1.0")


def reads(monkeypatch: pytest.MonkeyPatch, *, cached: bool, reachable: bool) -> list[str]:
    """What is asked of the hub's cache, of the hub and for the files themselves, in order."""
    asked: list[str] = []

    def read(source: str, **options: Any) -> str:
        asked.append("cache" if options.get("local_files_only") else "files")
        if asked[-1] == "cache" and not cached:
            raise OSError("not in the cache")
        return f"{source}@{options['revision']}"

    def ask(*_: Any, **options: Any) -> None:
        asked.append("hub")
        assert options["timeout"] <= 10
        if not reachable:
            raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", ask)
    spec = ReaderSpec(name="some", path="lab/some", revision="c0ffee", tokenizer="lab/other")
    for source, revision in (("lab/some", "c0ffee"), ("lab/other", "main")):
        assert loading._read_from(source, spec, read) == f"{source}@{revision}"
    return asked


def test_what_is_cached_is_read_without_asking_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reads(monkeypatch, cached=True, reachable=False) == ["cache", "cache"]


def test_what_is_not_cached_is_fetched_once_the_hub_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reads(monkeypatch, cached=False, reachable=True) == ["cache", "hub", "files"] * 2
    with pytest.raises(ConnectionError):  # at once, where the hub's client would go on trying
        reads(monkeypatch, cached=False, reachable=False)


def test_what_is_wrong_with_a_cached_reader_is_said_where_the_hub_cannot_be_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ask(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route")

    def read(*_: Any, **__: Any) -> str:
        raise ValueError("please pass trust_remote_code=True")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", ask)
    with pytest.raises(ValueError, match="trust_remote_code"):
        loading._read_from("lab/some", ReaderSpec(name="some", path="lab/some"), read)


def test_a_name_longer_than_any_file_is_one_line() -> None:
    assert "expected an existing folder or a hub id" in complaint("a" * 300 + "/b")


def test_weights_that_do_not_fit_on_the_device_are_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def move(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(PreTrainedModel, "to", move)
    assert "too little free memory for the weights" in complaint(folder)


def test_a_tokenizer_with_other_ids_than_the_published_is_refused(
    folder: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    spec = ReaderSpec(name="some", path=str(folder), no_answer_ids=(6,))
    assert len(loading.load_tokenizer(spec)) == len(tokenizer)
    with pytest.raises(ReaderError, match=r"tokenizer of some spells 'Error' \[6\], where .* publish \[7\]"):
        loading.load_tokenizer(replace(spec, no_answer_ids=(7,)))


def test_a_reader_may_be_without_a_no_answer_word(folder: Path) -> None:
    spec = ReaderSpec(name="some", path=str(folder), no_answer="")
    assert loading.load_tokenizer(spec).eos_token == "<eos>"


def test_the_engine_knows_the_commit_that_was_loaded(
    reader: Callable[..., Engine], random_model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reader(spec={"revision": "main"}).revision == "main"
    monkeypatch.setattr(random_model("Mamba").config, "_commit_hash", "c0ffee", raising=False)
    assert reader(spec={"revision": "main"}).revision == "c0ffee"


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(("own", "hubs"), [(True, True), (True, False), (False, False)])
def test_progress_bars_are_drawn_on_a_terminal_alone_and_are_afterwards_as_they_were(
    folder: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool, own: bool, hubs: bool
) -> None:
    seen: list[tuple[bool, bool]] = []

    def bars() -> tuple[bool, bool]:
        return logging.is_progress_bar_enabled(), not hub_utils.are_progress_bars_disabled()

    def watched(read: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given, **options: (seen.append(bars()), read(*given, **options))[1]

    for reads in (transformers.AutoModelForCausalLM, transformers.AutoTokenizer):
        monkeypatch.setattr(reads, "from_pretrained", watched(reads.from_pretrained))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    before = bars()
    try:
        (logging.enable_progress_bar if own else logging.disable_progress_bar)()
        (hub_utils.enable_progress_bars if hubs else hub_utils.disable_progress_bars)()
        Engine.load(str(folder))
        assert seen == [(own and terminal, hubs and terminal)] * 2
        assert bars() == (own, hubs)
        (folder / WEIGHTS).unlink()
        complaint(folder)
        assert bars() == (own, hubs)
    finally:
        (logging.enable_progress_bar if before[0] else logging.disable_progress_bar)()
        (hub_utils.enable_progress_bars if before[1] else hub_utils.disable_progress_bars)()


def test_an_unknown_device_or_precision_is_refused(folder: Path) -> None:
    for device in ("tpu", "cpu:foo", "cpu:1", "cuda:x", ""):
        assert "expected auto, cpu, cuda or cuda:N" in complaint(folder, device=device)
    assert "expected auto, float32, float16, bfloat16" in complaint(folder, dtype="int3")
    assert loading.precision("auto", ReaderSpec("some", "nowhere"), torch.device("cuda")) == "auto"


def test_cuda_where_there_is_none_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "use --device cpu" in complaint(folder, device="cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [str(loading.device_of(name)) for name in ("auto", "cuda:1")] == ["cuda", "cuda:1"]
    assert "no device 'cuda:9': 2 CUDA devices are here" in complaint(folder, device="cuda:9")


def test_a_mamba_on_cuda_without_its_kernels_stops_and_names_the_packages(
    random_model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = torch.device("cuda")
    monkeypatch.setitem(sys.modules, "mamba_ssm", ModuleType("mamba_ssm"))
    monkeypatch.setitem(sys.modules, "causal_conv1d", None)
    with pytest.raises(ReaderError, match=r"^cannot import causal_conv1d \(.*halted.*\): .*cuda extra"):
        loading._kernel(random_model("Bamba"), cuda, allow_slow=False)
    assert loading._kernel(random_model("Mamba"), cuda, allow_slow=True) == "torch"
    assert loading._kernel(random_model("Llama"), cuda, allow_slow=False) == "torch"
    monkeypatch.setitem(sys.modules, "causal_conv1d", ModuleType("causal_conv1d"))
    assert loading._kernel(random_model("Mamba"), cuda, allow_slow=False) == "cuda"


def test_a_kernel_package_that_is_there_but_does_not_load_says_why(
    random_model: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As mamba-ssm 2.2 under transformers 5."""
    (tmp_path / "broken_kernels.py").write_text("from transformers.generation import SampleDecoderOnlyOutput")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(loading, "CUDA_KERNELS", ("json", "broken_kernels"))
    said = (
        r"^cannot import broken_kernels \(cannot import name 'SampleDecoderOnlyOutput' .*\): .*pip install -U"
    )
    with pytest.raises(ReaderError, match=said):
        loading._kernel(random_model("Mamba"), torch.device("cuda"), allow_slow=False)
