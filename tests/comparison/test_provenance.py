"""Provenance: a version changes with the code behind a method, a revision with the weights."""

from __future__ import annotations

import shutil

import pytest

from comparison import provenance
from comparison.plan import resolve
from comparison.provenance import folder_revision, imported_modules, method_version

FILES = {
    "methods/base.py": "",
    "methods/one.py": "from methods.shared import part\nfrom methods import pack, find\n",
    "methods/shared.py": "from retrievers.chunking import split\n",
    "methods/pack/__init__.py": "def f():\n    from models.special import g\n",
    "methods/ranking.py": "from retrievers import build\n",
    "methods/other.py": "",
    "methods/__init__.py": "",
    "models/engine.py": "from models.cache import row\n",
    "models/cache.py": "",
    "models/special.py": "",
    "models/table.py": "",
    "models/tiny/train.py": "",
    "retrievers/__init__.py": "",
    "retrievers/chunking.py": "",
    "retrievers/bm25.py": "",
    "benchmarks/base.py": "",
    "benchmarks/recall.py": "",
}


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    monkeypatch.setattr(provenance, "_source_file", lambda maker: tmp_path / "methods" / "one.py")
    forget()
    yield tmp_path
    forget()


def forget():
    provenance._imported_files.cache_clear()
    provenance._hash_files.cache_clear()


def changes_the_version(checkout, name):
    forget()
    before = method_version(pytest.approx)
    path = checkout / name
    path.write_text(path.read_text() + "# changed\n")
    forget()
    return method_version(pytest.approx) != before


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("methods/one.py", True),
        ("methods/shared.py", True),
        ("methods/base.py", True),
        ("methods/pack/__init__.py", True),
        ("models/engine.py", True),
        ("models/cache.py", True),
        ("models/special.py", True),
        ("retrievers/chunking.py", True),
        ("benchmarks/base.py", True),
        ("methods/other.py", False),
        ("methods/__init__.py", False),
        ("models/table.py", False),
        ("retrievers/bm25.py", False),
        ("models/tiny/train.py", False),
        ("benchmarks/recall.py", False),
    ],
)
def test_a_version_changes_with_the_files_behind_the_method(checkout, name, counts):
    assert changes_the_version(checkout, name) == counts


def test_a_method_that_names_a_ranker_depends_on_every_ranker(checkout, monkeypatch):
    monkeypatch.setattr(provenance, "_source_file", lambda maker: checkout / "methods" / "ranking.py")
    assert changes_the_version(checkout, "retrievers/bm25.py")


def test_a_method_from_a_distribution_has_that_in_its_version(monkeypatch):
    before = method_version(pytest.approx)
    provenance._distribution.cache_clear()
    monkeypatch.setattr(provenance.metadata, "version", lambda name: "0.0.0-other")
    assert method_version(pytest.approx) != before
    provenance._distribution.cache_clear()


def test_weights_beside_the_readers_are_in_the_version_by_commit_or_content(tmp_path):
    (tmp_path / "1_Pooling").mkdir()
    pooling = tmp_path / "1_Pooling" / "config.json"
    pooling.write_text('{"mode": "cls"}')
    folder = {str(tmp_path): ""}
    versions = [
        method_version(pytest.approx, weights) for weights in ({}, {"a/b": "1"}, {"a/b": "2"}, folder)
    ]
    assert len(set(versions)) == 4
    assert method_version(pytest.approx, folder) == versions[3]
    pooling.write_text('{"mode": "mean"}')
    assert method_version(pytest.approx, folder) != versions[3]


def test_built_in_methods_have_versions_of_their_own():
    versions = [method_version(resolve("method", name).factory) for name in ("full", "rag", "closed_book")]
    assert len(set(versions)) == 3
    assert all(len(version) == 16 for version in versions)


def test_a_local_reader_is_named_by_its_content(tmp_path, monkeypatch):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "config.json").write_text("{}")
    (tmp_path / "one" / "model.safetensors").write_bytes(b"0" * 1000)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert folder_revision(tmp_path / "one") == folder_revision(tmp_path / "two")
    (tmp_path / "two" / "README.md").write_text("a card")
    assert folder_revision(tmp_path / "one") == folder_revision(tmp_path / "two")
    for whole_file in (2000, 100):  # hashed whole, then by its size and both ends
        monkeypatch.setattr(provenance, "WHOLE_FILE", whole_file)
        monkeypatch.setattr(provenance, "ENDS", 50)
        for weights in (b"1" + b"0" * 999, b"0" * 999 + b"1", b"0" * 1001):
            (tmp_path / "two" / "model.safetensors").write_bytes(weights)
            assert folder_revision(tmp_path / "one") != folder_revision(tmp_path / "two")


def test_every_import_of_a_file_is_found_wherever_it_stands():
    source = "import a.b\nfrom c import d\ndef f():\n    from e.g import h as i\n    import j as k\n"
    assert imported_modules(source) == {"a.b", "c", "c.d", "e.g", "e.g.h", "j"}


def test_a_checkout_without_git_has_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    assert provenance.commit() == (None, False)
