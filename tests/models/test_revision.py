"""A local reader's revision: it changes with the weights, and with whatever else shapes an answer."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy
import pytest
from safetensors.numpy import save_file

from models import revision
from models.revision import folder_revision

TINY = Path(revision.__file__).parent / "tiny"


def small_files(monkeypatch, whole_file):
    for name, value in (("WHOLE_FILE", whole_file), ("ENDS", 50), ("SAMPLE", 8), ("SAMPLES", 10)):
        monkeypatch.setattr(revision, name, value)


WEIGHTS = {
    name: numpy.arange(count, dtype=numpy.float32)
    for name, count in (("bias", 1), ("embedding", 300), ("layers.0", 200), ("layers.1", 200), ("norm", 3))
}


def test_a_local_reader_is_named_by_its_content(tmp_path, monkeypatch):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "config.json").write_text("{}")
    (tmp_path / "one" / "model.safetensors").write_bytes(b"0" * 1000)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert folder_revision(tmp_path / "one") == folder_revision(tmp_path / "two")
    (tmp_path / "two" / "README.md").write_text("a card")
    assert folder_revision(tmp_path / "one") == folder_revision(tmp_path / "two")
    for whole_file in (2000, 100):  # hashed whole, then by its size and samples
        small_files(monkeypatch, whole_file)
        for weights in (b"1" + b"0" * 999, b"0" * 999 + b"1", b"0" * 1001):
            (tmp_path / "two" / "model.safetensors").write_bytes(weights)
            assert folder_revision(tmp_path / "one") != folder_revision(tmp_path / "two")


@pytest.mark.parametrize("place", [0, 0.5, 1])
@pytest.mark.parametrize("name", WEIGHTS)
def test_a_change_in_any_tensor_of_large_weights_renames_the_reader(tmp_path, monkeypatch, name, place):
    small_files(monkeypatch, 1000)
    file = tmp_path / "model.safetensors"
    facts = {"format": "pt"}  # which is in every reader's, beside the tensors
    save_file(WEIGHTS, file, facts)
    before, size = folder_revision(tmp_path), file.stat().st_size
    changed = WEIGHTS[name].copy()
    changed[int(place * (len(changed) - 1))] += 0.5
    save_file(WEIGHTS | {name: changed}, file, facts)
    assert file.stat().st_size == size
    assert folder_revision(tmp_path) != before
    save_file(WEIGHTS, file, facts)
    assert folder_revision(tmp_path) == before


def test_a_tensor_of_another_name_renames_the_reader(tmp_path, monkeypatch):
    small_files(monkeypatch, 1000)
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    before = folder_revision(tmp_path)
    save_file(
        {name.replace("s.1", "s.2"): one for name, one in WEIGHTS.items()}, tmp_path / "model.safetensors"
    )
    assert folder_revision(tmp_path) != before


def test_a_large_file_that_is_not_safetensors_is_sampled_throughout(tmp_path, monkeypatch):
    small_files(monkeypatch, 1000)
    for name in ("pytorch_model.bin", "model.safetensors"):  # the second by its name alone
        file = tmp_path / name
        file.write_bytes(bytes(5000))
        before = folder_revision(tmp_path)
        for start in range(0, 5000, 500):
            file.write_bytes(bytes(start) + b"1" * 500 + bytes(4500 - start))
            assert folder_revision(tmp_path) != before
        file.unlink()


def test_the_checksums_at_the_end_of_pytorchs_file_show_what_no_sample_does(tmp_path, monkeypatch):
    import torch

    small_files(monkeypatch, 1000)
    monkeypatch.setattr(revision, "ENDS", 2000)
    revisions = set()
    for value in (0.0, 1.0):
        weights = torch.zeros(10_000)
        weights[1234] = value
        torch.save({"weights": weights, "norm": torch.zeros(3)}, tmp_path / "pytorch_model.bin")
        revisions.add(folder_revision(tmp_path))
    assert len(revisions) == 2


HEADER = json.dumps({"a": {"dtype": "U8", "shape": [98 << 20], "data_offsets": [0, 98 << 20]}}).encode()


@pytest.mark.parametrize(
    ("name", "size", "begin", "read"),
    [
        ("pytorch_model.bin", 64 << 20, b"", 64 << 20),  # the largest that is read whole
        ("pytorch_model.bin", (64 << 20) + 1, b"", (2 << 20) + 1001 * 4096),  # both ends, and steps of 65,011
        ("pytorch_model.bin", 98 << 20, b"", (2 << 20) + 1001 * 4096),  # steps of 100,663
        ("model.safetensors", 99 << 20, len(HEADER).to_bytes(8, "little") + HEADER, 3 * 4096),
    ],
)
def test_large_weights_keep_their_name_from_version_to_version(tmp_path, name, size, begin, read):
    """Nothing but zeros behind the beginning: only how many of them are read counts."""
    with (tmp_path / name).open("wb") as file:
        file.write(begin)
        file.truncate(size)
    total = hashlib.sha256(f"\0{name}\0{size}\0".encode() + begin + bytes(read))
    assert folder_revision(tmp_path) == f"local-{total.hexdigest()[:16]}"


def test_a_folder_with_the_name_of_a_file_is_none(tmp_path):
    before = folder_revision(tmp_path)
    (tmp_path / "step_1.bin").mkdir()
    assert folder_revision(tmp_path) == before


@pytest.mark.parametrize(
    "header", ["[]", "{}", "no", '{"a": 1}', '{"a": {"data_offsets": [0, 0.5]}}', '{"a": {"data_offsets": [-9e9, 4]}}',
               '{"a": {"data_offsets": [-9999999999999999999999999, 9999999999999999999999]}}']
)  # fmt: skip
def test_a_header_that_makes_no_sense_is_left_to_the_loader(tmp_path, monkeypatch, header):
    small_files(monkeypatch, 1000)
    text = header.encode()
    (tmp_path / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(5000))
    assert folder_revision(tmp_path).startswith(revision.LOCAL)


def test_the_embedded_reader_keeps_its_name():
    files = sorted(path for path in TINY.iterdir() if path.suffix in (".json", ".safetensors"))
    total = hashlib.sha256()
    for path in files:
        total.update(f"\0{path.name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    assert folder_revision(TINY) == f"local-{total.hexdigest()[:16]}"


@pytest.mark.parametrize(
    ("name", "config", "counts"),
    [
        ("chat_template.jinja", {}, True),
        ("additional_chat_templates/tool.jinja", {}, True),
        ("vocab.tiktoken", {}, True),
        ("modeling.py", {"auto_map": {"AutoModel": "modeling.Reader"}}, True),
        ("modeling.py", {}, False),  # nothing runs it: how a model was trained does not change its answers
    ],
)
def test_what_wraps_and_what_runs_a_local_reader_is_in_its_name(tmp_path, name, config, counts):
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "generation_config.json").write_text("{}")
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("one")
    before = folder_revision(tmp_path)
    path.write_text("two")
    assert (folder_revision(tmp_path) != before) == counts
