"""A version changes with code of one's own: the method's file, its rankers' and what these import beside them."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest
from comparison_fakes import FakeEngine

from comparison import provenance
from comparison.answering import prepare
from comparison.plan import PlanError, make_plan, resolve
from comparison.workers import Setup

METHOD = """
import installed_words
import own_elsewhere
import own_outer.inner.last
try:
    import own_absent
except ImportError:
    pass
from own_help import say
class Mine:
    def __init__(self, engine, *, retriever: str = "own_rank:First", candidates: str = "all of them"):
        pass
    def answer(self, context, question):
        from own_pack import words
        return say()
"""
OWN = {
    "own_method.py": METHOD,
    "own_help.py": "from own_second import say\n",
    "own_second.py": "def say():\n    return 'one'\n",
    "own_rank.py": "from own_rank_help import first\nclass First:\n    def __init__(self, engine): ...\n",
    "own_rank_help.py": "first = 0\n",
    "own_other_rank.py": "from own_rank import First\nclass Other(First): ...\n",
    "own_wrapper.py": "from functools import wraps\nfrom own_method import Mine\n@wraps(Mine, updated=())\n"
    "def wrapped(*given, **options):\n    return Mine(*given, **options)\n",
    "own_unused.py": "",
    "own_pack/__init__.py": "",
    "own_pack/words.py": "from . import inner\n",
    "own_pack/inner.py": "from .deep.last import word\n",
    "own_pack/deep/last.py": "word = 1\n",
    "own_pack/unused.py": "",
    "own_outer/__init__.py": "",
    "own_outer/inner/__init__.py": "",
    "own_outer/inner/last.py": "",
    "own_library.py": "",
    "elsewhere/own_elsewhere.py": "",
    "site/installed_words.py": "",
    "site/kit/__init__.py": "from kit import ours\nimport installed_words, own_library\nclass Kit:\n"
    "    def __init__(self, engine): ...\n    def answer(self, context, question): ...\n",
    "site/kit/ours.py": "",
    "site/kit-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: kit\nVersion: 1.0\n",
}


@pytest.fixture
def own(tmp_path, monkeypatch):
    for name, text in OWN.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for folder in ("elsewhere", "site", "."):
        monkeypatch.syspath_prepend(tmp_path / folder)
    # Python's own modules lie above the site-packages
    monkeypatch.setattr(sys, "stdlib_module_names", sys.stdlib_module_names | {"own_library"})
    yield tmp_path
    forget_own()


def forget_own():
    for name in [one for one in sys.modules if one.startswith(("own_", "kit", "installed_words"))]:
        del sys.modules[name]


def version_of(spec):
    return prepare(resolve("method", spec), FakeEngine()).traits.version


def edit(path):
    path.write_text(path.read_text() + "# changed\n")


@pytest.mark.parametrize(
    ("name", "method", "counts"),
    [
        ("own_method.py", "own_method:Mine", True),
        ("own_help.py", "own_method:Mine", True),
        ("own_second.py", "own_method:Mine", True),
        ("own_pack/__init__.py", "own_method:Mine", True),
        ("own_pack/words.py", "own_method:Mine", True),
        ("own_pack/inner.py", "own_method:Mine", True),
        ("own_pack/deep/last.py", "own_method:Mine", True),
        ("own_outer/__init__.py", "own_method:Mine", True),
        ("own_outer/inner/__init__.py", "own_method:Mine", True),
        ("own_wrapper.py", "own_wrapper:wrapped", True),
        ("own_help.py", "own_wrapper:wrapped", True),
        ("own_unused.py", "own_method:Mine", False),
        ("own_pack/unused.py", "own_method:Mine", False),
        ("own_library.py", "kit:Kit", False),
        ("elsewhere/own_elsewhere.py", "own_method:Mine", False),
        ("site/installed_words.py", "own_method:Mine", False),
        ("site/kit/__init__.py", "kit:Kit", True),
        ("site/kit/ours.py", "kit:Kit", True),
        ("site/installed_words.py", "kit:Kit", False),
        ("own_rank.py", "own_method:Mine", True),
        ("own_rank.py", "own_method:Mine:retriever=bm25", False),
        ("own_rank.py", "own_method:Mine:retriever=own_other_rank:Other", True),
        ("own_other_rank.py", "own_method:Mine:retriever=own_other_rank:Other", True),
        ("own_rank_help.py", "own_method:Mine:retriever=hybrid(retrievers=bm25;own_rank:First)", True),
        ("own_rank.py", "own_method:Mine:retriever=bm25,candidates=own_rank:First", True),
    ],
)
def test_a_version_changes_with_own_files_and_rankers_and_with_no_other_distributions(
    own, name, method, counts
):
    before = version_of(method)
    assert version_of(method) == before
    edit(own / name)
    forget_own()
    assert (version_of(method) != before) == counts


def test_the_distribution_of_a_ranker_is_in_the_version(own, monkeypatch):
    before = version_of("own_method:Mine")
    owner = {"own_rank": "kit==2.0"}
    monkeypatch.setattr(provenance, "_distribution", lambda module: owner.get(module, ""))
    assert version_of("own_method:Mine") != before


def test_an_edited_file_counts_once_it_is_imported_again_as_its_answers_do(own):
    before = version_of("own_method:Mine")
    edit(own / "own_method.py")
    assert version_of("own_method:Mine") == before
    importlib.reload(sys.modules["own_method"])
    assert version_of("own_method:Mine") != before


def test_an_edit_while_the_reader_is_opened_is_of_the_next_run(own):
    def open_reader():
        edit(own / "own_method.py")
        return FakeEngine()

    before = version_of("own_method:Mine")
    forget_own()
    plan = make_plan({"model": "fake/reader", "method": ["own_method:Mine"], "baseline": "own_method:Mine"})
    assert Setup.of(plan, open_reader).open().facts.methods["own_method:Mine"].version == before


def test_a_script_that_is_edited_while_it_runs_counts_as_it_began(own):
    importlib.import_module("own_method").__spec__ = None  # as a script's is
    before = version_of("own_method:Mine")
    edit(own / "own_method.py")
    assert version_of("own_method:Mine") == before


def test_a_method_or_a_ranker_that_is_in_no_file_has_no_version(own, monkeypatch):
    cell = ModuleType("own_cell")
    monkeypatch.setitem(sys.modules, "own_cell", cell)
    exec(
        "class Mine:\n    def __init__(self, engine): ...\n    answer = lambda self, context, question: ''",
        vars(cell),
    )
    cell.Mine.__module__ = "own_cell"
    for spec in ("own_cell:Mine", "own_method:Mine:retriever=own_cell:Mine"):
        with pytest.raises(PlanError, match=r"^Mine is in no file, [^\n]*: put it into a module$"):
            version_of(spec)
